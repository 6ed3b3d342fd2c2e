"""Scores of rows when memory is short: smaller batches, the same scores, and words about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from backprop_tui.launch.scoring import score_data
from backprop_tui.protocol.errors import DataError, UnavailableError
from tests.support.scoring import at, scorers, write

pytestmark = pytest.mark.train


class TestMemory:
    """The real model, refusing batches of more tokens than a real device would have room for."""

    @pytest.fixture
    def store(self) -> Any:
        from backprop_tui.engine.worker.rows import RowStore

        class Row:
            def __init__(self, length: int) -> None:
                self.ids = list(range(10, 10 + length))
                self.trained = [True] * length

        return RowStore([Row(length) for length in (30, 4, 40, 2, 5, 40, 6, 39, 40, 1, 38, 5)])

    @pytest.fixture
    def room(self, model: Any) -> Iterator[Callable[[int], list[tuple[int, int]]]]:
        """Gives the model room for so many tokens; the shapes it was asked for are collected."""
        import torch

        hooks = []

        def limit(tokens: int) -> list[tuple[int, int]]:
            shapes: list[tuple[int, int]] = []

            def refuse(module: Any, positional: Any, named: dict[str, Any]) -> None:
                rows, longest = named["input_ids"].shape
                shapes.append((rows, longest))
                if rows * longest > tokens:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

            hooks.append(model.register_forward_pre_hook(refuse, with_kwargs=True))
            return shapes

        yield limit
        for hook in hooks:
            hook.remove()

    def test_the_batch_is_halved_and_the_scores_are_the_same(self, model, store, room):
        from backprop_tui.engine.worker.likelihood import score_rows

        def all_of(**options: Any) -> dict[int, tuple[float | None, int]]:
            parts = score_rows(model, store, **options)
            return {row: (nll, tokens) for part in parts for row, nll, tokens in part}

        before = all_of(batch_size=1)
        assert sorted(before) == list(range(12))
        assert [row for row, (nll, _) in before.items() if nll is None] == [3, 9]
        shapes, told = room(100), []
        after = all_of(batch_size=8, on_smaller=lambda *words: told.append(words))
        assert told == [(4, 40), (2, 40)]
        assert shapes[:3] == [(8, 40), (4, 40), (2, 40)], "the longest rows come first"
        assert shapes[-1] == (4, 6), "short rows share a batch again"
        assert after.keys() == before.keys()
        for row, (nll, tokens) in before.items():
            assert after[row] == (None if nll is None else pytest.approx(nll, abs=1e-5), tokens)

    @pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set on Linux only")
    def test_a_process_that_may_not_grow_makes_its_batches_smaller_and_says_so(self, tmp_path):
        rows = [{"text": "It is this and that, not those. " * 60 + str(number)} for number in range(96)]
        data = write(tmp_path / "rows.jsonl", rows)

        def limit() -> None:
            (scorer,) = scorers()
            most = scorer.memory_info().vms + (100 << 20)
            scorer.rlimit(psutil.RLIMIT_AS, (most, most))

        tight = score_data(data, "demo", device="cpu", batch_size=48, on_progress=at("scoring", limit))
        assert tight.notes
        assert "made smaller" in tight.notes[0]
        assert len(list(tight)) == 96
        easy = score_data(data, "demo", device="cpu", batch_size=4)
        assert not easy.notes
        assert [score.nll for score in tight] == pytest.approx([score.nll for score in easy], abs=1e-4)

    def test_when_not_even_one_row_fits_it_says_so(self, model, store, room):
        from backprop_tui.engine.worker.likelihood import score_rows

        room(39)
        with pytest.raises(UnavailableError) as raised:
            list(score_rows(model, store, batch_size=8))
        assert raised.value.code == "OUT_OF_MEMORY"
        assert "40 tokens" in raised.value.cause

    def test_other_errors_are_not_taken_for_it(self, model, store):
        from backprop_tui.engine.worker.likelihood import score_rows

        def fail(*_: Any) -> None:
            raise RuntimeError("shapes cannot be multiplied")

        hook = model.register_forward_pre_hook(fail)
        try:
            with pytest.raises(RuntimeError, match="multiplied"):
                list(score_rows(model, store, batch_size=8))
        finally:
            hook.remove()

    def test_tokens_the_model_does_not_know_are_refused_before_it_sees_them(self, model):
        from backprop_tui.engine.worker.likelihood import score_rows
        from backprop_tui.engine.worker.rows import RowStore

        class Row:
            ids = (5, 6, 1024)
            trained = (True, True, True)

        with pytest.raises(DataError) as raised:
            list(score_rows(model, RowStore([Row()]), batch_size=1))
        assert raised.value.code == "MODEL_VOCABULARY_SMALL"


def test_only_the_columns_that_count_are_looked_up_in_the_vocabulary(model, mixed):
    """Answers after long questions would otherwise cost memory for every token of the question."""
    import torch

    from backprop_tui.engine.worker.likelihood import summed_nll
    from backprop_tui.engine.worker.rows import Collator, RowStore, Sequences

    seen: list[tuple[int, ...]] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    try:
        ids = list(range(10, 110))
        row = type("Row", (), {"ids": ids, "trained": [False] * 97 + [True] * 3})()
        batch = Collator(Sequences.plain(RowStore([row])), 0).batch([0])
        (total,) = summed_nll(model, batch)
    finally:
        hook.remove()
    assert seen == [(1, 3, 128)]
    with torch.no_grad():
        whole = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    assert total / 3 == pytest.approx(float(whole), abs=1e-4)


def test_what_ended_the_process_is_told_in_words() -> None:
    from backprop_tui.engine.worker.scoring import _words

    told = _words(RuntimeError("shapes \x1b[31mcannot be multiplied"))
    assert told["code"] == "SCORING_FAILED"
    assert "cannot be multiplied" in told["cause"]
    assert "\x1b" not in told["cause"]
    assert told["next"]
