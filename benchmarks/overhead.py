"""What the engine costs over a bare TRL script: same model, rows, steps and settings, turn about in one run.

The script is what a person would write: `SFTTrainer`, LoRA on all linear layers, no evaluation, no saving. The engine adds a
host, a journal on disk, telemetry, verified masks and commands. Compared are seconds per optimiser step (medians of all steps
but the first three, of each pair of runs) and the time from the start of the command to the end of the first step.
Targets: at most 2 % per step where a step takes 50 ms or more, and a first step at most 0.5 s later.

PEFT and the trainer bring bitsandbytes and DeepSpeed wherever they are installed, which a script of plain LoRA pays for and the
engine spares its runs; `--lean` hides both from the script as well, which is how the two compare where they aren't installed.

    python benchmarks/overhead.py [--pairs 3] [--steps 40] [--lean] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

from backprop_tui.data.models import resolve_model
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import list_runs

STEP_LIMIT, START_LIMIT, LEAST_STEP = 1.02, 0.5, 0.050
BATCH, RANK, LENGTH, RATE = 8, 16, 128, 4e-4

HIDE = "import sys; sys.modules['bitsandbytes'] = sys.modules['deepspeed'] = None"
BARE = """
import json, sys, time
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
import torch

model_dir, data, steps, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
rows = []
for line in open(data):
    messages = json.loads(line)["messages"]
    rows.append({"prompt": messages[:-1], "completion": messages[-1:]})
times = []

class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        times.append(time.time())

trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32),
    processing_class=AutoTokenizer.from_pretrained(model_dir),
    train_dataset=Dataset.from_list(rows),
    peft_config=LoraConfig(r=int(sys.argv[5]), lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[Clock()],
    args=SFTConfig(
        output_dir=out, max_steps=steps, per_device_train_batch_size=int(sys.argv[6]), gradient_accumulation_steps=1,
        learning_rate=float(sys.argv[7]), max_length=int(sys.argv[8]), logging_steps=1, save_strategy="no", report_to="none",
        use_cpu=True, gradient_checkpointing=False, disable_tqdm=True, seed=42, dataloader_pin_memory=False,
    ),
)
trainer.train()
print(json.dumps(times))
"""


def make_model(place: Path) -> Path:
    """A Llama of about 14 M random parameters with the demo's tokenizer: steps of some 100 ms on one core."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    demo = resolve_model("demo")
    assert demo is not None
    tokenizer = AutoTokenizer.from_pretrained(demo)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=8, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=512, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def bare(
    model: Path, data: Path, steps: int, place: Path, environment: dict[str, str], *, lean: bool = False
) -> tuple[list[float], float]:
    """Seconds of each step after the first, and seconds to the end of the first; `lean` hides what it doesn't need."""
    script = f"{HIDE}\n{BARE}" if lean else BARE
    words = [model, data, steps, place / "out", RANK, BATCH, RATE, LENGTH]
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True,
    )  # fmt: skip
    ends = json.loads(done.stdout.splitlines()[-1])
    return [after - before for before, after in pairwise(ends)], ends[0] - began


def ours(model: Path, data: Path, steps: int, place: Path, environment: dict[str, str]) -> tuple[list[float], float]:
    """The same through `backprop train`, read from the journal (its stamps are the host's clock)."""
    home = {
        **environment,
        **{f"BACKPROP_{kind}_DIR": str(place / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE")},
    }
    settings = {
        "steps": steps, "batch_size": BATCH, "accumulation": 1, "rank": RANK, "alpha": 32, "max_length": LENGTH, "lr": RATE,
        "schedule": "linear", "warmup": 0, "weight_decay": 0, "eval_split": 0, "samples": 0, "save_every": 0,
        "gradient_checkpointing": "off",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    before = {run.id for run in _runs(place)}
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "backprop_tui.cli", "train", str(data), "-m", str(model), *words, "--headless"],
        env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    run = next(run for run in _runs(place) if run.id not in before)
    events = [event for event in read_events(run.journal_file) if event.kind == "step"]
    return [after.mono - before.mono for before, after in pairwise(events)], events[0].wall - began


def _runs(place: Path) -> list:
    os.environ["BACKPROP_DATA_DIR"] = str(place / "data")
    return list(list_runs())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--lean", action="store_true", help="hide bitsandbytes and DeepSpeed from the script too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="overhead-"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    try:
        model = make_model(place / "model")
        data = place / "chats.jsonl"
        subprocess.run(
            [sys.executable, "-m", "backprop_tui.cli", "data", "convert", "demo", "-o", str(data), "--to", "messages"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        sides = {"bare": partial(bare, lean=args.lean), "ours": ours}
        steps: dict[str, list[float]] = {name: [] for name in sides}
        starts: dict[str, list[float]] = {name: [] for name in sides}
        for pair in range(args.pairs):
            for name in sorted(sides, reverse=bool(pair % 2)):
                taken, first = sides[name](model, data, args.steps, place, environment)
                steps[name].append(statistics.median(taken[3:]))
                starts[name].append(first)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    ratio = statistics.median(ours / bare for bare, ours in zip(steps["bare"], steps["ours"], strict=True))
    later = statistics.median(ours - bare for bare, ours in zip(starts["bare"], starts["ours"], strict=True))
    step = statistics.median(steps["bare"])
    figures = {
        "step_ms": round(1000 * step, 1), "step_ratio": round(ratio, 4), "step_ratios_of_pairs": [
            round(ours / bare, 4) for bare, ours in zip(steps["bare"], steps["ours"], strict=True)
        ],
        "first_step_s": {name: [round(value, 2) for value in values] for name, values in starts.items()},
        "first_step_later_s": round(later, 2),
    }  # fmt: skip
    if args.json:
        print(json.dumps(figures))
    else:
        print(f"a step of the bare script    {figures['step_ms']} ms")
        print(f"a step of the engine         x {figures['step_ratio']}  (pairs {figures['step_ratios_of_pairs']})")
        print(f"first step, bare and engine  {figures['first_step_s']} s: {figures['first_step_later_s']:+.2f} s")
    good = ratio <= STEP_LIMIT and later <= START_LIMIT
    if step < LEAST_STEP:
        print("steps are too short for the target to apply", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
