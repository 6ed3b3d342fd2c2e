from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.engine.worker import demo_corpus as corpus
from tests.support.engines import no_engine_left
from tests.support.scoring import asked, write


@pytest.fixture(autouse=True)
def _tidy(home: object) -> Iterator[None]:
    with no_engine_left():
        yield


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Chats of one and more turns and plain text, of 10 to 200 tokens, the lengths in no order."""
    rows: list[dict[str, Any]] = []
    for index, fact in enumerate(list(corpus.facts())[:24]):
        row = asked(fact.questions[0], fact.answer + f" {fact.word}" * (index * 7 % 11))
        if index % 5 == 1:
            row["messages"] += asked(fact.questions[-1], fact.word)["messages"]
        rows.append({"text": fact.answer * (1 + index % 4)} if index % 6 == 2 else row)
    return write(tmp_path_factory.mktemp("rows") / "mixed.jsonl", rows)


@pytest.fixture(scope="module")
def model() -> Any:
    """The bundled model as transformers loads it."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(paths.demo_model_dir(), dtype=torch.float32).eval()
