"""The real worker's training of a few steps with its allocations counted, and random models of a known shape to train."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.allocations import Allocated, count_allocations, storage_bytes
from tests.support.worker_driver import WorkerThread, new_run

#: About 100 million weights, in two families: tied head with grouped keys and biases, and an untied head.
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2-100m": {
        "model_type": "qwen2", "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
        "num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": 32_000, "tie_word_embeddings": True,
    },
    "llama-100m": {
        "model_type": "llama", "hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 12,
        "num_attention_heads": 10, "num_key_value_heads": 10, "vocab_size": 32_000, "tie_word_embeddings": False,
    },
}  # fmt: skip


def random_model(shape: str, place: Path) -> Path:
    """A directory with random weights of `SHAPES[shape]` (seed 0, float32) and the bundled tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from backprop_tui.config.paths import demo_model_dir

    words = dict(SHAPES[shape])
    torch.manual_seed(0)
    config = AutoConfig.for_model(words.pop("model_type"), max_position_embeddings=2048, **words)
    directory = place / shape
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(demo_model_dir() / name, directory / name)
    return directory


def _tensors(model: Any) -> list[Any]:
    """Parameters and buffers, and what a quantised weight keeps beside them."""
    import torch

    found: list[Any] = [*model.parameters(), *model.buffers()]
    for weights in model.parameters():
        states = [getattr(weights, "quant_state", None)]
        states += [getattr(state, "state2", None) for state in states]
        found += [value for state in states if state is not None for value in vars(state).values()]
    return [value for value in found if isinstance(value, torch.Tensor)]


class MeasuredWorker(WorkerThread):
    """A worker whose `trainer.train()` is followed by the allocator's own account. `allocated` is the result."""

    allocated: Allocated | None = None

    def _work(self) -> None:
        from backprop_tui.engine.worker.trainer import StepTrainer

        plain = StepTrainer.train

        def measured(trainer: StepTrainer, *args: Any, **options: Any) -> Any:
            gc.collect()
            held = storage_bytes(_tensors(trainer.model))
            self.allocated = count_allocations(lambda: plain(trainer, *args, **options), held)

        StepTrainer.train = measured
        try:
            super()._work()
        finally:
            StepTrainer.train = plain


def measured_training(**overrides: Any) -> MeasuredWorker:
    """Train a quick spec to its end without held-out rows; its peak is in `allocated`."""
    with MeasuredWorker(new_run(**{"eval_split": 0.0, "steps": 2, **overrides})) as worker:
        worker.ended(timeout=600)
    assert worker.allocated is not None, worker.of("fault")
    return worker


def long_chats(place: Path, rows: int = 24, words: int = 400, *, varied: bool = False) -> Path:
    """Chats of `words` words, a third of them a quarter as long if `varied`: cut where they are too long."""
    file = place / f"long-{words}.jsonl"
    lines = []
    for row in range(rows):
        count = words // 4 if varied and row % 3 == 0 else words
        text = " ".join(f"word{number % 97}" for number in range(count))
        messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": text}]
        lines.append(json.dumps({"messages": messages}) + "\n")
    file.write_text("".join(lines))
    return file
