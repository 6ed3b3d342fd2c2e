"""What only a GPU shows: throughput and peak memory of LoRA, QLoRA and full fine-tuning through the real engine.

    python benchmarks/gpu.py [--shapes 0.5B,1.5B] [--methods lora,qlora,full] [--steps 40]

Random weights in the shape of Qwen2 models cost the same arithmetic as trained ones and need no download. Each case is a
run like any other (host, worker, journal); the figures are read from its journal: tokens per second as the median after ten
warm-up steps, memory as the highest NVML reading minus the one before the run. `planned_gib` is the plan's peak of tensors
and `reserved_gib` what the allocator had reserved after two steps (`torch.cuda.max_memory_reserved`); `ratio` is the one over
the other, and the promise is 0.90 to 1.10.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5B": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
    "7B": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
}
KV_HEADS = {"0.5B": 2, "1.5B": 2, "7B": 4}
VOCABULARY = 151_936
WARM_UP = 10


def make_model(shape: str, place: Path) -> Path:
    """A random-weight Qwen2 with the bundled tokenizer, in bfloat16."""
    import shutil

    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    from backprop_tui.config.paths import demo_model_dir

    torch.manual_seed(0)
    config = Qwen2Config(
        **SHAPES[shape],
        num_key_value_heads=KV_HEADS[shape],
        vocab_size=VOCABULARY,
        tie_word_embeddings=shape != "7B",
        max_position_embeddings=4096,
    )
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    directory = place / shape
    model.save_pretrained(directory)
    del model
    torch.cuda.empty_cache()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(demo_model_dir() / name, directory / name)
    return directory


def make_data(place: Path, rows: int = 4000) -> Path:
    """Chats of lognormal length (median about 350 tokens) from the bundled rows' words."""
    import random

    from backprop_tui.config.paths import demo_data_file

    rng = random.Random(0)
    words = demo_data_file().read_text().split()
    file = place / "chats.jsonl"
    with file.open("w") as out:
        for _ in range(rows):
            length = min(2000, max(16, int(rng.lognormvariate(5.2, 0.9))))
            text = " ".join(rng.choice(words) for _ in range(length))
            messages = [
                {"role": "user", "content": text[: len(text) // 2]},
                {"role": "assistant", "content": text[len(text) // 2 :]},
            ]
            out.write(json.dumps({"messages": messages}) + "\n")
    return file


async def measure(model: Path, data: Path, method: str, steps: int) -> dict[str, Any]:
    """Run one case to its end and read its figures from the events."""
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.launch.session import RunSession
    from backprop_tui.launch.start import start_run

    overrides = {
        "base": str(model), "path": str(data), "method": method, "rank": 16, "alpha": 32, "steps": steps, "samples": 0,
        "eval_split": 0.0, "eval_every": 0, "save_every": 0, "max_length": 4096, "batch_size": 4, "accumulation": 4,
        "deliver": "last", "device": "cuda", "learning_rate": 1e-5,
    }  # fmt: skip
    run = start_run(preset_spec("fast", overrides=overrides))
    rates: list[float] = []
    memory: list[int] = []
    outcome = "unknown"
    planned = reserved = None
    async with RunSession(run) as session:
        async for batch in session.events(after=0):
            for event in batch:
                if event.kind == "step":
                    rates.append(float(event.data["tokens_per_s"]))
                elif event.kind == "probe":
                    planned, reserved = event.data["expected"], event.data["measured"]
                elif event.kind == "telemetry" and event.data["gpus"]:
                    memory.append(int(event.data["gpus"][0]["memory_used"] or 0))
                elif event.kind == "fault":
                    outcome = str(event.data["code"])
                elif event.kind == "end" and outcome == "unknown":
                    outcome = str(event.data["outcome"])
    timed = rates[WARM_UP:]
    return {
        "method": method,
        "outcome": outcome,
        "tokens_per_s": round(statistics.median(timed)) if timed else None,
        "peak_gib": round((max(memory) - memory[0]) / 2**30, 2) if memory else None,
        "planned_gib": round(planned / 2**30, 2) if planned else None,
        "reserved_gib": round(reserved / 2**30, 2) if reserved else None,
        "ratio": round(planned / reserved, 3) if planned and reserved else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default="0.5B,1.5B")
    parser.add_argument("--methods", default="lora,qlora,full")
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("No CUDA device: nothing measured.", file=sys.stderr)
        return 69
    with tempfile.TemporaryDirectory(prefix="bp-gpu-") as name:
        place = Path(name)
        os.environ.update({f"BACKPROP_{kind}_DIR": str(place / kind.lower()) for kind in ("DATA", "CACHE")})
        data = make_data(place)
        for shape in options.shapes.split(","):
            model = make_model(shape, place)
            for method in options.methods.split(","):
                figures = asyncio.run(measure(model, data, method, options.steps))
                print(json.dumps({"shape": shape, "device": torch.cuda.get_device_name(0), **figures}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
