"""Rows as tensors: what is learnt, what is padding, and that packed rows never see each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.config import paths
from backprop_tui.data.looking.packing import pack_rows

pytestmark = pytest.mark.train


@dataclass
class Row:
    ids: list[int]
    trained: list[bool]


def learnt(*ids: int) -> Row:
    return Row(list(ids), [True] * len(ids))


@pytest.fixture(scope="module")
def rows() -> Any:
    return pytest.importorskip("backprop_tui.engine.worker.rows")


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    loaded = AutoModelForCausalLM.from_pretrained(
        paths.demo_model_dir(), dtype=torch.float32, attn_implementation="sdpa"
    )
    return loaded.eval()


def test_what_is_not_trained_and_the_first_token_are_left_out_of_the_loss(rows):
    store = rows.RowStore([Row([5, 6, 7, 8], [True, False, True, True]), learnt(9, 10)])
    assert [store.row(index)[1].tolist() for index in range(2)] == [[-100, -100, 7, 8], [-100, 10]]
    assert (len(store), store.tokens, store.trained_tokens) == (2, 6, 3)


def test_padding_is_masked_and_not_counted(rows):
    batch = rows.Collator(rows.Sequences.plain(rows.RowStore([learnt(5, 6, 7), learnt(8)])), 0).batch([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [-100, -100, -100]]
    assert batch[rows.TOKENS] == 4


def test_positions_restart_with_each_packed_row_and_there_is_no_mask(rows):
    store = rows.RowStore([learnt(5, 6, 7), learnt(8, 9), learnt(4)])
    batch = rows.Collator(rows.Sequences(store, [[0, 1], [2]], packed=True), 0).batch([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 0, 0, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9], [-100] * 5]
    assert "attention_mask" not in batch
    assert batch[rows.TOKENS] == 6


@given(
    lengths=st.lists(st.integers(1, 40), max_size=200),
    capacity=st.integers(1, 64),
    most=st.integers(1, 9),
    seed=st.integers(0, 9),
    in_order=st.booleans(),
)
def test_every_row_is_packed_once_whole_and_within_the_limits(lengths, capacity, most, seed, in_order):
    packs = pack_rows(lengths, capacity, most, seed, in_order=in_order)
    assert sorted(index for pack in packs for index in pack) == list(range(len(lengths)))
    for pack in packs:
        assert len(pack) <= most
        assert len(pack) == 1 or sum(lengths[index] for index in pack) <= capacity
    assert packs == pack_rows(lengths, capacity, most, seed, in_order=in_order)


@given(lengths=st.lists(st.integers(1, 40), max_size=200), capacity=st.integers(1, 64), most=st.integers(1, 9))
def test_in_order_only_neighbours_share_a_pack_and_none_is_passed(lengths, capacity, most):
    packs = pack_rows(lengths, capacity, most, 0, in_order=True)
    assert [index for pack in packs for index in pack] == list(range(len(lengths)))
    for pack, after in itertools.pairwise(packs):
        full = sum(lengths[index] for index in pack) + lengths[after[0]] > capacity
        assert full or len(pack) == most, "a pack ends only where the next row does not fit"


def test_short_rows_fill_packs_to_the_asked_number_of_rows():
    packs = pack_rows([10] * 100, 1000, 8, 0)
    assert sorted(map(len, packs), reverse=True) == [8] * 12 + [4]


def test_changing_one_packed_row_changes_no_other_rows_logits(rows, model):
    import torch

    ours = [learnt(*range(10, 30)), learnt(*range(40, 52)), learnt(*range(60, 71)), learnt(*range(80, 84))]
    packs = [[0, 1, 2], [3]]

    def logits(first: Row) -> Any:
        store = rows.RowStore([first, *ours[1:]])
        batch = rows.Collator(rows.Sequences(store, packs, packed=True), 0).batch([0, 1])
        with torch.no_grad():
            return model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits

    before, after = logits(ours[0]), logits(learnt(*range(100, 120)))
    assert not torch.equal(before[0, :20], after[0, :20]), "the change must show in its own row"
    assert torch.equal(before[0, 20:], after[0, 20:])
    alone = model(input_ids=torch.tensor([ours[1].ids]), use_cache=False).logits
    assert torch.allclose(before[0, 20:32], alone[0], atol=1e-4)
    last = model(input_ids=torch.tensor([ours[3].ids]), use_cache=False).logits
    assert torch.allclose(before[1, :4], last[0], atol=1e-4)


def test_without_restarting_positions_the_neighbours_would_be_seen(rows, model):
    import torch

    ids = torch.tensor([[*range(10, 30), *range(40, 52)]])
    other = torch.tensor([[*range(100, 120), *range(40, 52)]])
    with torch.no_grad():
        assert not torch.allclose(
            model(input_ids=ids, use_cache=False).logits[0, 20:], model(input_ids=other, use_cache=False).logits[0, 20:]
        )
