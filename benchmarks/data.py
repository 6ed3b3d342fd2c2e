"""Looking through a chat dataset: `inspect_data` against what merely loading or tokenising the same file takes.

    python benchmarks/data.py                  200 MB
    python benchmarks/data.py --mb 200 600 2000
    python benchmarks/data.py --mb 50 --runs 3

Every contestant is a process of its own, the file is in the disk cache for all of them, and they take turns, so that a
machine that slows down slows all of them. Printed are medians, and the ratio of the medians of neighbours in time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_PRELUDE = "import sys, time; path = sys.argv[1]; model = sys.argv[2]; began = time.perf_counter()\n"
_EPILOGUE = """
import json, resource
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"inner": time.perf_counter() - began, "own": own, "child": children, "note": note}))
"""

#: Name → program. `inner` is measured after the imports the contestant itself needs where it says `began = …` again.
CONTESTANTS: dict[str, str] = {
    "inspect": """
from backprop_tui.data.looking.inspection import inspect_data
from backprop_tui.data.finding.places import resolve
found = inspect_data(resolve(path))
note = f"{found.rows} rows, {found.kept} kept"
""",
    "load_dataset": """
import tempfile, datasets
datasets.disable_progress_bars()
began = time.perf_counter()
with tempfile.TemporaryDirectory() as cache:
    note = f"{len(datasets.load_dataset('json', data_files=path, split='train', cache_dir=cache))} rows"
""",
    "pyarrow": """
from pyarrow import json as reader
note = f"{reader.read_json(path, reader.ReadOptions(block_size=16 << 20)).num_rows} rows"
""",
    "polars": """
import polars
note = f"{polars.read_ndjson(path).height} rows"
""",
    "inspect+tokens": """
from pathlib import Path
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.looking.inspection import inspect_data
from backprop_tui.data.looking.part import How
from backprop_tui.data.finding.places import resolve
with RemoteTokenizer(Path(model), size=0) as tokenizer:
    found = inspect_data(resolve(path), tokenizer=tokenizer, how=How(max_length=2048))
note = f"{found.tokens.total} tokens"
""",
    "tokenizers": """
import json
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
texts, tokens = [], 0
# What a template would write, written beforehand: the loop does nothing but tokenise.
with open(path + ".texts", encoding="utf-8", newline="") as file:
    for line in file:
        texts.append(json.loads(line))
        if len(texts) == 512:
            tokens += sum(len(entry) for entry in tokenizer.encode_batch(texts, add_special_tokens=False))
            texts.clear()
tokens += sum(len(entry) for entry in tokenizer.encode_batch(texts, add_special_tokens=False))
note = f"{tokens} tokens"
""",
}
_PAIRS = (("inspect", "load_dataset"), ("inspect", "pyarrow"), ("inspect+tokens", "tokenizers"))
_WORDS = [
    "".join(random.Random(number).choice("abcdefghijklmnopqrstuvwxyz") for _ in range(2 + number % 9))
    for number in range(5000)
]


def write_chats(path: Path, megabytes: int) -> None:
    """Chats of one to three exchanges, about 1.6 kB each, and beside them their renderings."""
    draw = random.Random(1)
    written = 0
    with path.open("w", encoding="utf-8") as rows, Path(f"{path}.texts").open("w", encoding="utf-8") as texts:
        while written < megabytes * 1_000_000:
            turns = []
            for _ in range(draw.choice((1, 1, 2, 3))):
                question = " ".join(draw.choices(_WORDS, k=draw.randint(5, 60)))
                answer = " ".join(draw.choices(_WORDS, k=draw.randint(20, 150)))
                turns.append({"role": "user", "content": question})
                turns.append({"role": "assistant", "content": f'{answer}.\nSo "that" is it \u2014 \u00e9.'})
            written += rows.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
            rendered = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
            texts.write(json.dumps(rendered) + "\n")


def write_model(path: Path, chats: Path) -> None:
    """A byte-level BPE tokenizer trained on some of the chats, with the ChatML template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    path.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in ("<|im_start|>", "<|im_end|>")]
    trainer = trainers.BpeTrainer(
        vocab_size=32_000,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with Path(f"{chats}.texts").open(encoding="utf-8") as file:
        tokenizer.train_from_iterator((json.loads(line) for line, _ in zip(file, range(4000), strict=False)), trainer)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    (path / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
        " + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def run(name: str, path: Path, model: Path) -> dict[str, float | str] | None:
    """One contestant, once: seconds inside the process and of the process, and peak memory in MB; None if it can't run."""
    import time

    code = _PRELUDE + CONTESTANTS[name] + _EPILOGUE
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(model)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        return None
    told = json.loads(done.stdout.splitlines()[-1])
    memory = {"own": told["own"] / 1000, "child": told["child"] / 1000}
    return {"process": seconds, "inner": told["inner"], **memory, "note": told["note"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, nargs="+", default=[200], help="sizes of the file in MB")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in options.mb:
            path, model = Path(folder) / "chats.jsonl", Path(folder) / f"model-{size}"
            write_chats(path, size)
            write_model(model, path)
            found: dict[str, list[dict[str, float | str]]] = {name: [] for name in options.only}
            for _ in range(options.runs):
                for name in options.only:
                    figures = run(name, path, model)
                    if figures is not None:
                        found[name].append(figures)
            print(f"{size} MB, {options.runs} runs")
            medians = {}
            for name, runs in found.items():
                if not runs:
                    print(f"  {name:16} could not run")
                    continue
                process, inner, own, child = (
                    statistics.median(float(figures[key]) for figures in runs)
                    for key in ("process", "inner", "own", "child")
                )
                medians[name] = inner
                memory = f"{own:5.0f} MB, children {child:4.0f} MB"
                print(f"  {name:16} {process:6.2f} s  {inner:6.2f} s inside  {memory}  {runs[0]['note']}")
            for one, other in _PAIRS:
                if one in medians and other in medians:
                    pairs = zip(found[one], found[other], strict=False)
                    ratio = statistics.median(float(a["inner"]) / float(b["inner"]) for a, b in pairs)
                    print(f"  {one} / {other} = {ratio:.2f}")


if __name__ == "__main__":
    main()
