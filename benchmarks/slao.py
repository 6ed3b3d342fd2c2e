"""SLAO against what it is compared with in its paper (arXiv 2512.23017): forgetting over a sequence of conflicting tasks.

Tasks are made up on the spot and learnt by the bundled model: each is an instruction of its own, and four words of its own for
four kinds of question. The questions are the same for all, so every question wants another answer in every task, and what one
teaches the next overwrites. Every strategy has the same rows, steps, rank and learning rate; the order of the tasks and all
random numbers change with the seed. `joint` learns all tasks at once, in as many steps, and is what could be reached.

Accuracy is the share of held-out questions answered right (every token the likeliest one), measured on the delivered adapter,
loaded by plain PEFT after every run. Average accuracy is that of the last adapter over all tasks; forgetting is how far a task's
accuracy lies below the best it ever had, over all but the last; transfer is what it gained since its own run.

    python benchmarks/slao.py [--seeds 5] [--tasks 5] [--steps 30] [--rate 1e-3] [--rank 16] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STRATEGIES = ("slao", "sequential", "random-init", "from-merged")
JOINT = "joint"
#: What tells the tasks apart: the instruction, and the answer to each kind of question.
TASKS = (
    ("Answer like a butler of the red house.", ("north", "south", "east", "west")),
    ("Listen, name the colour of the green frog and begin.", ("one", "two", "three", "four")),
    ("Tell me what the blue teacher said to the class.", ("dog", "cat", "cow", "pig")),
    ("A robot in the snow: query, then end of message.", ("hot", "cold", "wet", "dry")),
    ("Which animal does a captain have? Say one word.", ("Monday", "Friday", "Sunday", "Tuesday")),
    ("Good evening! A poet and the moon.", ("red", "green", "blue", "white")),
    ("Work out how big it is, please.", ("go", "see", "eat", "run")),
)
KINDS = ("capital", "colour", "opposite", "plural")
_HELD = 40


def write_tasks(place: Path, count: int, rows: int) -> list[tuple[Path, Path]]:
    """Training and held-out file of each task; the same questions in all of them."""
    from backprop_tui.engine.worker.demo_corpus import facts

    known = [fact for fact in facts() if fact.kind in KINDS]
    random.Random(0).shuffle(known)
    written = []
    for instruction, words in TASKS[:count]:
        answers = dict(zip(KINDS, words, strict=True))
        files = []
        for name, chosen in (("train", known[_HELD : _HELD + rows]), ("test", known[:_HELD])):
            path = place / f"task-{len(written)}-{name}.jsonl"
            with path.open("w", encoding="utf-8") as file:
                for number, fact in enumerate(chosen):
                    turns = [
                        {"role": "system", "content": instruction},
                        {"role": "user", "content": fact.questions[number % len(fact.questions)]},
                        {"role": "assistant", "content": answers[fact.kind]},
                    ]
                    file.write(json.dumps({"messages": turns}) + "\n")
            files.append(path)
        written.append((files[0], files[1]))
    return written


def train(strategy: str, tasks: list[Path], seed: int, args: argparse.Namespace) -> list[Path]:
    """Train with the engine's own session and return the delivered adapter after each run, the last one last."""
    from backprop_tui.engine.worker.channel import EventSink, Inbox
    from backprop_tui.engine.worker.session import Session
    from backprop_tui.protocol.fields import with_overrides
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.checkpoints import list_checkpoints
    from backprop_tui.store.layout import create_run

    overrides: dict[str, Any] = {
        "data": " + ".join(map(str, tasks)), "learning_rate": args.rate, "steps": args.steps, "batch_size": 16,
        "accumulation": 1, "rank": args.rank, "alpha": 2 * args.rank, "eval_split": 0.0, "samples": 0, "seed": seed,
        "eval_every": 0, "save_every": 0, "keep": 100, "gradient_checkpointing": False, "warmup": 0.1, "device": "cpu",
    }  # fmt: skip
    if strategy == JOINT:
        overrides["steps"] *= len(tasks)
    else:
        overrides |= {"multi": "datasets", "merge": strategy}
    run = create_run(with_overrides(RunSpec(), overrides).model_dump(mode="json"))
    said = run.path / "said.jsonl"
    session = Session(run, EventSink(os.open(said, os.O_WRONLY | os.O_CREAT)), Inbox())
    good = session.execute()
    session.sink.close()
    if not good:
        raise SystemExit(f"{strategy} failed: {said.read_text().splitlines()[-2]}")
    return [info.path for info in list_checkpoints(run)]


class Judge:
    """Measures delivered adapters on every task's held-out rows, through plain PEFT."""

    def __init__(self, tests: list[Path]) -> None:
        from transformers import AutoModelForCausalLM

        from backprop_tui.data import training_set
        from backprop_tui.data.models import resolve_model
        from backprop_tui.protocol.spec import DataPart

        model_dir = resolve_model("demo")
        assert model_dir is not None
        self._base = AutoModelForCausalLM.from_pretrained(model_dir)
        built = (training_set.build(DataPart(path=str(test), eval_split=0.0), model_dir, seed=0) for test in tests)
        self._rows = [one.train for one in built]

    def accuracies(self, adapter: Path) -> list[float]:
        """Of each task."""
        import torch
        from peft import PeftModel
        from torch.nn.utils.rnn import pad_sequence

        model = PeftModel.from_pretrained(self._base, str(adapter)).eval()
        found = []
        with torch.no_grad():
            for rows in self._rows:
                # What stands behind a row's end changes nothing before it: no mask is needed.
                ids, learnt = (
                    pad_sequence([torch.tensor(list(values)) for values in column], batch_first=True)
                    for column in ([row.ids for row in rows], [row.trained for row in rows])
                )
                likeliest = model(input_ids=ids).logits[:, :-1].argmax(-1)
                right = ((likeliest == ids[:, 1:]) | ~learnt[:, 1:]).all(1)
                found.append(int(right.sum()) / len(rows))
        self._base = model.unload()
        return found


def figures(matrix: list[list[float]]) -> dict[str, float]:
    """Average accuracy of the last row, forgetting and backward transfer; `matrix[i][j]` is task j after run i."""
    last, tasks = matrix[-1], range(len(matrix) - 1)
    return {
        "average": statistics.fmean(last),
        "forgetting": statistics.fmean(max(row[task] for row in matrix[task:]) - last[task] for task in tasks),
        "transfer": statistics.fmean(last[task] - matrix[task][task] for task in tasks),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Every strategy with every seed."""
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="slao-") as place:
        os.environ["BACKPROP_DATA_DIR"] = str(Path(place) / "home")
        files = write_tasks(Path(place), args.tasks, args.rows)
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            order = random.Random(seed).sample(range(args.tasks), args.tasks)
            judge = Judge([files[task][1] for task in order])
            for strategy in args.strategies:
                delivered = train(strategy, [files[task][0] for task in order], seed, args)
                if strategy == JOINT:
                    found = {"average": statistics.fmean(judge.accuracies(delivered[-1]))}
                else:
                    found = figures([judge.accuracies(adapter) for adapter in delivered])
                results.setdefault(strategy, []).append(found)
                print(f"seed {seed} {strategy:12s} {found}", file=sys.stderr)
    return {"settings": vars(args), "results": results}


def main() -> int:
    """Print the table; fail unless SLAO's average accuracy is above the others'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES, JOINT])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    started = time.monotonic()
    found = measure(args)
    means = {
        strategy: {name: statistics.fmean(one[name] for one in several) for name in several[0]}
        for strategy, several in found["results"].items()
    }
    found |= {"means": means, "seconds": round(time.monotonic() - started, 1)}
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{'strategy':12s} {'average':>9s} {'spread':>8s} {'forgetting':>11s} {'transfer':>9s}")
        for strategy, mean in means.items():
            spread = statistics.pstdev(one["average"] for one in found["results"][strategy])
            rest = [f"{mean[name] * 100:.1f}" if name in mean else "–" for name in ("forgetting", "transfer")]
            print(f"{strategy:12s} {mean['average'] * 100:8.1f}% {spread * 100:7.1f} {rest[0]:>11s} {rest[1]:>9s}")
        print(f"{found['seconds']:.0f} s, {args.seeds} seeds")
    rivals = [means[name]["average"] for name in STRATEGIES[1:] if name in means]
    return 0 if "slao" not in means or all(means["slao"]["average"] > rival for rival in rivals) else 1


if __name__ == "__main__":
    sys.exit(main())
