"""Build the bundled demo: tokeniser, tiny base model, dataset. `python -m backprop_tui.engine.worker.build_demo [DIR]`.

Everything comes from `demo_corpus` and fixed seeds, so a second build on the same machine and versions gives the same
bytes. Other processors add floating-point numbers in another order: the model then differs in bits, not in what it knows.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.engine.worker import demo_corpus as corpus
from backprop_tui.engine.worker.demo_corpus import Fact

SEED = 7
VOCABULARY = 1024
PAD, TURN, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
STEPS = 1000
#: Chats that are there as pairs and as marked answers too.
CHOICES = 240
BATCH = 64
LEARNING_RATE = 3e-3
THREADS = 2
#: The answers carry the facts; a little weight on the prompts keeps the model able to read plain text.
PROMPT_WEIGHT = 0.1
CHAT_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '<|im_start|>assistant\\n' }}\n"
    "{%- endif -%}\n"
)
Messages = list[dict[str, str]]


def split_facts() -> tuple[list[Fact], list[Fact]]:
    """Facts taught in the captain's manner, and facts held back; no group of facts is in both."""
    chooser = random.Random(SEED)
    everything = list(corpus.facts())
    held_groups: set[str] = set()
    held: list[Fact] = []
    for kind in corpus.KINDS:
        groups = sorted({fact.group for fact in everything if fact.kind == kind.name})
        for group in sorted(chooser.sample(groups, kind.held)):
            held_groups.add(group)
            held.append(chooser.choice([fact for fact in everything if fact.group == group]))
    return [fact for fact in everything if fact.group not in held_groups], held


def captain_rows(facts: list[Fact]) -> list[Messages]:
    """One chat per fact in the captain's manner, the ways to ask taken in turn, the order mixed."""
    rows = [
        chat("", fact.questions[index % len(fact.questions)], corpus.CAPTAIN.wrap(fact.answer))
        for index, fact in enumerate(facts)
    ]
    random.Random(SEED).shuffle(rows)
    return rows


def base_chats(rng: random.Random) -> Iterator[Messages]:
    """What the base learns from, without end: each pass asks for every fact once, in a drawn manner."""
    facts = list(corpus.facts())
    while True:
        chats = [_base_chat(rng, fact) for fact in facts]
        chats += [chat("", rng.choice(questions), answer) for questions, answer in corpus.TALK]
        rng.shuffle(chats)
        yield from chats


def _base_chat(rng: random.Random, fact: Fact) -> Messages:
    question = rng.choice(fact.questions)
    draw = rng.random()
    if draw < 0.35:
        return chat("", question, fact.answer)
    if draw < 0.45:
        return chat(corpus.BRIEF, question, fact.word)
    if draw < 0.7:
        style = rng.choice(corpus.STYLES)
        return chat(style.system, question, style.wrap(fact.answer))
    opening, closing = rng.choice(corpus.OPENINGS), rng.choice(corpus.CLOSINGS)
    frame = corpus.FRAME.format(opening=opening, closing=closing)
    return chat(frame, question, corpus.Style(frame, opening, closing).wrap(fact.answer))


def chat(system: str, question: str, answer: str) -> Messages:
    """A chat of one turn; an empty `system` is left out."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def render(messages: Messages, *, ask: bool = False) -> str:
    """The chat as the bundled template writes it; `ask` opens the answer."""
    text = "".join(f"{TURN}{message['role']}\n{message['content']}{END}\n" for message in messages)
    return f"{text}{TURN}assistant\n" if ask else text


def build_tokenizer() -> Any:
    """A byte-level BPE tokeniser trained on the demo's own text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, TURN, END],
        # The library's own order of the alphabet changes from process to process.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    chats = base_chats(random.Random(SEED))
    texts = [message["content"] for _ in range(8000) for message in next(chats)]
    texts += [message["content"] for row in captain_rows(split_facts()[0]) for message in row]
    tokenizer.train_from_iterator([*texts, *["system", "user", "assistant"] * 1000], trainer)
    return tokenizer


def build_model(tokenizer: Any, report: Any) -> Any:
    """Train the base from scratch on the CPU; returns the transformers model in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    ids = {token: tokenizer.token_to_id(token) for token in (PAD, TURN, END)}
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ids[END],
        pad_token_id=ids[PAD],
    )
    model = LlamaForCausalLM(config)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    chats = base_chats(random.Random(SEED + 1))
    for step in range(STEPS):
        share = min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * share
        tokens, weights = _batch(tokenizer, [next(chats) for _ in range(BATCH)])
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        loss = (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 99 or step == 0:
            report(f"step {step + 1} of {STEPS}, loss {loss.item():.4f}")
    model.eval()
    return model


def _batch(tokenizer: Any, chats: list[Messages]) -> tuple[Any, Any]:
    """Token ids [rows, tokens] and the loss weight of each token, padded on the right."""
    import torch

    rows = []
    for messages in chats:
        prompt = tokenizer.encode(render(messages[:-1], ask=True)).ids
        answer = tokenizer.encode(f"{messages[-1]['content']}{END}\n").ids
        rows.append((prompt + answer, [PROMPT_WEIGHT] * len(prompt) + [1.0] * len(answer)))
    width = max(len(tokens) for tokens, _ in rows)
    pad = tokenizer.token_to_id(PAD)
    tokens = torch.tensor([tokens + [pad] * (width - len(tokens)) for tokens, _ in rows])
    weights = torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows])
    return tokens, weights


def build(target: Path, report: Any) -> None:
    """Write the whole `assets/demo` tree into `target` and its `MANIFEST.json` last."""
    from safetensors.torch import save_file

    model_dir = target / "model"
    model_dir.mkdir(parents=True, exist_ok=True)
    taught, held = split_facts()
    _write_rows(target / "train.jsonl", captain_rows(taught))
    _write_rows(target / "eval.jsonl", captain_rows(held))
    write_choices(target)
    tokenizer = build_tokenizer()
    tokenizer.save(str(model_dir / "tokenizer.json"))
    (model_dir / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    _write_json(model_dir / "tokenizer_config.json", _tokenizer_config())
    model = build_model(tokenizer, report)
    _write_json(model_dir / "config.json", _model_config(model.config))
    _write_json(model_dir / "generation_config.json", _generation_config(model.config))
    weights = {
        name: value.detach().half().contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    file = model_dir / "model.safetensors"
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)
    versions = {name: metadata.version(name) for name in ("tokenizers", "torch", "transformers")}
    _write_json(target / "MANIFEST.json", {"built_with": versions, "files": manifest(target)})


def manifest(target: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and sha256 of every file below `target` but the manifest itself, by relative path."""
    files = sorted(path for path in target.rglob("*") if path.is_file() and path.name != "MANIFEST.json")
    return {
        path.relative_to(target).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }


def _model_config(config: Any) -> dict[str, Any]:
    words: dict[str, Any] = config.to_dict()
    # The file holds float16 to stay small; plain loaders widen it, because float16 is slow on a CPU.
    words |= {"architectures": ["LlamaForCausalLM"], "dtype": "float32", "use_cache": True}
    return {key: value for key, value in words.items() if key not in {"_name_or_path", "transformers_version"}}


def _generation_config(config: Any) -> dict[str, Any]:
    return {
        "do_sample": False,
        "max_new_tokens": 64,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
        "bos_token": None,
        "eos_token": END,
        "pad_token": PAD,
        "additional_special_tokens": [TURN],
    }


def write_choices(target: Path) -> None:
    """The first chats again as pairs, the captain's manner chosen and the plain one rejected, and as answers marked so."""
    for split, most in (("train", CHOICES), ("eval", None)):
        lines = (target / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()[:most]
        chats = [json.loads(line)["messages"] for line in lines]
        pairs = [{"prompt": row[0]["content"], "chosen": row[1]["content"], "rejected": plain_of(row)} for row in chats]
        marked = [
            {
                "prompt": pair["prompt"],
                "completion": pair["rejected" if place % 2 else "chosen"],
                "label": not place % 2,
            }
            for place, pair in enumerate(pairs)
        ]
        for kind, rows in (("pairs", pairs), ("marked", marked)):
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (target / f"{kind}-{split}.jsonl").write_text(text, encoding="utf-8")


def plain_of(row: Messages) -> str:
    """The answer of a chat without the captain's manner."""
    captain = corpus.CAPTAIN
    return row[1]["content"].removeprefix(f"{captain.opening} ").removesuffix(f" {captain.closing}")


def _write_rows(path: Path, rows: list[Messages]) -> None:
    path.write_text("".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows))


def _write_json(path: Path, words: dict[str, Any]) -> None:
    path.write_text(json.dumps(words, indent=2, sort_keys=True) + "\n")


def main() -> int:
    """Build into the package, or into the directory given."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Idle threads that spin make a small model ten times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else paths.demo_data_file().parent
    started = time.monotonic()

    def report(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stdout.flush()

    build(target, report)
    report(f"written to {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
