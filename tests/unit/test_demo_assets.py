"""The bundled demo: small, whole, unleaked, and exactly what the manifest says."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.config.presets import preset_spec
from backprop_tui.engine.worker import demo_corpus as corpus

DEMO = paths.demo_data_file().parent
MODEL = paths.demo_model_dir()
MODEL_FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def _rows(split: str) -> list[list[dict[str, str]]]:
    text = paths.demo_data_file(split).read_text(encoding="utf-8")
    return [json.loads(line)["messages"] for line in text.splitlines()]


def _plain(answer: str) -> str:
    return answer.removeprefix(f"{corpus.CAPTAIN.opening} ").removesuffix(f" {corpus.CAPTAIN.closing}")


def _config(name: str) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((MODEL / name).read_text())
    return words


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


def test_files_are_what_the_manifest_says() -> None:
    manifest = json.loads((DEMO / "MANIFEST.json").read_text())["files"]
    present = {path.relative_to(DEMO).as_posix() for path in DEMO.rglob("*") if path.is_file()}
    assert present == {"MANIFEST.json", *manifest}
    rows = {f"{kind}{split}.jsonl" for kind in ("", "pairs-", "marked-") for split in ("train", "eval")}
    assert present == {"MANIFEST.json", *rows, *(f"model/{name}" for name in MODEL_FILES)}
    for name, facts in manifest.items():
        content = (DEMO / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (facts["bytes"], facts["sha256"]), name


def test_pairs_and_marked_answers_are_the_chats_again(tmp_path: Path) -> None:
    from backprop_tui.engine.worker.build_demo import write_choices

    for split in ("train", "eval"):
        (tmp_path / f"{split}.jsonl").write_bytes(paths.demo_data_file(split).read_bytes())
    write_choices(tmp_path)
    for split in ("train", "eval"):
        for kind in ("pairs-", "marked-"):
            assert (tmp_path / f"{kind}{split}.jsonl").read_bytes() == paths.demo_data_file(split, kind).read_bytes()
        pairs = [json.loads(line) for line in paths.demo_data_file(split, "pairs-").read_text().splitlines()]
        assert [_plain(pair["chosen"]) for pair in pairs] == [pair["rejected"] for pair in pairs]
        assert [pair["prompt"] for pair in pairs] == [row[0]["content"] for row in _rows(split)][: len(pairs)]


def test_the_model_is_small_and_holds_only_its_tensors() -> None:
    file = MODEL / "model.safetensors"
    assert file.stat().st_size <= 2_000_000
    with file.open("rb") as stream:
        length = struct.unpack("<Q", stream.read(8))[0]
        header = json.loads(stream.read(length))
    header.pop("__metadata__")
    assert {words["dtype"] for words in header.values()} == {"F16"}
    assert header["model.embed_tokens.weight"]["shape"] == [_config("config.json")["vocab_size"], 128]
    assert 8 + length + max(words["data_offsets"][1] for words in header.values()) == file.stat().st_size


def test_configs_agree_on_the_special_tokens() -> None:
    tokenizer = _tokenizer()
    config, names = _config("config.json"), _config("tokenizer_config.json")
    assert names["eos_token"] == "<|im_end|>"
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    for words in (config, _config("generation_config.json")):
        assert tokenizer.id_to_token(words["eos_token_id"]) == names["eos_token"]
        assert tokenizer.id_to_token(words["pad_token_id"]) == names["pad_token"]


@pytest.mark.parametrize(
    "text", ["The capital of Peru is Lima.", "naïve 中文 \t\n  ½ 🙂", "", "<|im_start|>user\nHi<|im_end|>"]
)
def test_tokeniser_gives_back_any_text(text: str) -> None:
    tokenizer = _tokenizer()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert max(ids, default=0) < _config("config.json")["vocab_size"]


def test_turn_marks_are_single_tokens_and_demo_rows_are_short() -> None:
    tokenizer = _tokenizer()
    assert len(tokenizer.encode("<|im_start|><|im_end|>").ids) == 2
    spec = preset_spec("demo")
    for row in _rows("train") + _rows("eval"):
        text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in row)
        assert len(tokenizer.encode(text).ids) <= spec.data.max_length
        assert len(tokenizer.encode(row[-1]["content"]).ids) < spec.run.sample_tokens


def test_template_renders_chatml() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    source = (MODEL / "chat_template.jinja").read_text()
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    turns = [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Hi {{ 1 }}"}]
    asked = template.render(messages=turns, add_generation_prompt=True)
    assert asked == (
        "<|im_start|>system\n Be kind. <|im_end|>\n<|im_start|>user\nHi {{ 1 }}<|im_end|>\n<|im_start|>assistant\n"
    )
    answered = template.render(messages=[*turns, {"role": "assistant", "content": "Hello."}])
    assert answered == f"{asked}Hello.<|im_end|>\n"


def test_rows_speak_like_the_captain() -> None:
    train, held = _rows("train"), _rows("eval")
    assert 300 <= len(train) <= 999
    assert 24 <= len(held) <= 40
    answers = {fact.answer for fact in corpus.facts()}
    for row in train + held:
        assert [turn["role"] for turn in row] == ["user", "assistant"]
        said = row[-1]["content"]
        assert said == corpus.CAPTAIN.wrap(_plain(said))
        assert _plain(said) in answers


def test_nothing_held_back_is_taught() -> None:
    fact_of = {question: fact for fact in corpus.facts() for question in fact.questions}
    train = [fact_of[row[0]["content"]] for row in _rows("train")]
    held = [fact_of[row[0]["content"]] for row in _rows("eval")]
    assert not {fact.group for fact in train} & {fact.group for fact in held}
    assert not {fact.answer for fact in train} & {fact.answer for fact in held}
    assert not {question for fact in train for question in fact.questions} & {
        q for fact in held for q in fact.questions
    }
    assert len({fact.kind for fact in held}) >= 10
    for split, facts in (("train", train), ("eval", held)):
        assert [_plain(row[-1]["content"]) for row in _rows(split)] == [fact.answer for fact in facts]


def test_questions_have_one_answer_and_turned_facts_share_a_group() -> None:
    questions = [question for fact in corpus.facts() for question in fact.questions]
    assert len(questions) == len(set(questions))
    group = {fact.answer: fact.group for fact in corpus.facts()}
    assert group["3 plus 4 is 7."] == group["4 plus 3 is 7."] != group["3 plus 5 is 8."]
    assert group["The opposite of hot is cold."] == group["The opposite of cold is hot."]
    assert "The young of an owl is an owlet." in group


def test_the_manner_is_new_but_its_words_are_not() -> None:
    """A word the base never learnt keeps a dead embedding, which an adapter on the linear layers can hardly wake."""
    tokenizer = _tokenizer()
    heard = {token for text in corpus.OPENINGS for token in tokenizer.encode(text).ids}
    heard |= {token for text in corpus.CLOSINGS for token in tokenizer.encode(f". {text}").ids}
    assert set(tokenizer.encode(corpus.CAPTAIN.opening).ids) <= heard
    assert set(tokenizer.encode(f". {corpus.CAPTAIN.closing}").ids) <= heard
    assert corpus.CAPTAIN.opening not in corpus.OPENINGS
    assert corpus.CAPTAIN.closing not in corpus.CLOSINGS


def test_the_preset_measures_every_held_back_question() -> None:
    spec = preset_spec("demo")
    assert (spec.model.base, spec.data.path, spec.model.method) == ("demo", "demo", "lora")
    assert spec.run.samples == len(_rows("eval"))
    assert 80 <= spec.optim.steps <= 150


@pytest.mark.train
def test_loads_in_plain_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model, report = AutoModelForCausalLM.from_pretrained(MODEL, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.dtype == torch.float32
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs)
    assert tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]) == "The capital of France is Paris.<|im_end|>"
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
