"""Each kind of imitation from its file to its figures: chats, completions, plain text, thoughts. What is learnt is read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.config.presets import preset_spec
from backprop_tui.store.layout import create_run
from tests.support.worker_driver import WorkerThread, quick_spec, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]

SHORT: dict[str, Any] = {"steps": 6, "eval_split": 0.25, "max_length": 128}


def written(place: Path, rows: list[dict[str, Any]]) -> str:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(place)


def learnt_texts(**settings: Any) -> list[str]:
    """What a run would learn of its first rows, special tokens left out."""
    from tokenizers import Tokenizer

    from backprop_tui.engine.worker.dataset import load_data

    class Silent:
        def progress(self, *args: Any) -> None:
            """Nobody looks."""

    data = load_data(quick_spec(**settings), paths.demo_model_dir(), Silent())  # type: ignore[arg-type]
    tokenizer = Tokenizer.from_file(str(paths.demo_model_dir() / "tokenizer.json"))
    texts = []
    for index in range(min(4, len(data.train))):
        ids, labels = data.train.row(index)
        texts.append(tokenizer.decode([int(token) for token, label in zip(ids, labels, strict=True) if label != -100]))
    return texts


def taught(worker: WorkerThread) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan and the last evaluation of a run that ended well and learnt."""
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    before, *_, after = worker.of("eval")
    assert after["loss"] < before["loss"]
    assert after["perplexity"] == pytest.approx(math.exp(after["loss"]))
    assert 0.0 <= after["token_accuracy"] <= 1.0
    return worker.of("plan")[0], after


def test_chats_learn_every_answer_and_nothing_else(tmp_path):
    rows = [
        {"messages": [
            {"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"A number, {n}."},
            {"role": "user", "content": "And next?"}, {"role": "assistant", "content": f"After it {n + 1}."},
        ]} for n in range(24)
    ]  # fmt: skip
    settings = {**SHORT, "path": written(tmp_path / "chats.jsonl", rows)}
    plan, _ = taught(train(**settings, samples=2))
    assert 0 < plan["trained_tokens"] < plan["train_tokens"]
    for text in learnt_texts(**settings):
        assert "A number" in text
        assert "After it" in text
        assert "What is" not in text
        assert "And next" not in text


def test_completions_learn_the_completion(tmp_path):
    rows = [{"prompt": f"The captain of ship {n} is", "completion": f" a person called Anna {n}."} for n in range(24)]
    settings = {**SHORT, "path": written(tmp_path / "completions.jsonl", rows)}
    plan, _ = taught(train(**settings))
    assert 0 < plan["trained_tokens"] < plan["train_tokens"]
    for text in learnt_texts(**settings):
        assert "Anna" in text
        assert "captain" not in text


def test_plain_text_learns_everything_packed(tmp_path):
    """Continued pretraining as the preset sets it; only what the tiny model needs is changed."""
    file = written(
        tmp_path / "book.jsonl", [{"text": f"Chapter {n}. The sea was calm and the sky was wide."} for n in range(48)]
    )
    made = preset_spec("pretrain", paths.demo_model_dir(), {"path": file, "max_length": 128, "steps": 4, "rank": 8})
    assert (made.data.train_on, made.data.packing) == ("everything", True)
    with WorkerThread(create_run(made.model_dump())) as worker:
        plan, _ = taught(worker)
    # A row's first token has nothing before it to be predicted from.
    assert plan["trained_tokens"] == plan["train_tokens"] - plan["train_rows"]
    assert not worker.of("sample"), "plain text asks nothing"
    assert all("Chapter" in text or "sea" in text for text in learnt_texts(path=file, train_on="everything"))


def test_thoughts_are_learnt_as_they_are_written(tmp_path):
    """As the preset for reasoning sets it; the thought is part of the answer, before and after rendering."""
    rows = [
        {"messages": [
            {"role": "user", "content": f"Is {n} even?"},
            {"role": "assistant", "content": f"<think>\n{n} ends in {n % 10}.\n</think>\n\n{'Yes' if n % 2 == 0 else 'No'}."},
        ]} for n in range(24)
    ]  # fmt: skip
    file = written(tmp_path / "thoughts.jsonl", rows)
    change = {"path": file, "steps": 4, "accumulation": 4, "samples": 2, "sample_tokens": 8, "eval_split": 0.25}
    made = preset_spec("reasoning", paths.demo_model_dir(), change)
    with WorkerThread(create_run(made.model_dump())) as worker:
        taught(worker)
    for text in learnt_texts(path=file):
        assert "<think>" in text
        assert "ends in" in text
        assert "</think>" in text
        assert "even" not in text
    assert all("<think>" in sample["reference"] for sample in worker.of("sample"))


def test_what_is_cut_is_counted(tmp_path):
    rows = [{"question": f"Say {n}", "answer": "word " * (100 if n < 5 else 3)} for n in range(20)]
    worker = train(
        **{**SHORT, "max_length": 64, "eval_split": 0.0}, path=written(tmp_path / "long.jsonl", rows), packing=True
    )
    plan = worker.of("plan")[0]
    assert plan["truncated_rows"] == 5
    assert plan["train_rows"] == 20


def test_token_accuracy_is_the_share_of_learnt_tokens_that_were_the_likeliest():
    """Counted again from the delivered weights, token by token."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from backprop_tui.engine.worker.dataset import load_data
    from tests.support.worker_driver import checkpoint_dir

    class Silent:
        def progress(self, *args: Any) -> None:
            """Nobody looks."""

    worker = train(steps=4)
    told = worker.of("eval")[-1]
    base = AutoModelForCausalLM.from_pretrained(paths.demo_model_dir(), dtype=torch.float32)
    model = PeftModel.from_pretrained(base, checkpoint_dir(worker.run, worker.ended())).eval()
    held = load_data(quick_spec(), paths.demo_model_dir(), Silent()).held_out  # type: ignore[arg-type]
    right = 0
    for index in range(len(held)):
        ids, labels = (torch.tensor(part, dtype=torch.long) for part in held.row(index))
        with torch.no_grad():
            guesses = model(ids[None]).logits[0, :-1].argmax(-1)
        right += int(((guesses == labels[1:]) & (labels[1:] != -100)).sum())
    assert told["token_accuracy"] == pytest.approx(right / held.trained_tokens, abs=1.5 / held.trained_tokens)
