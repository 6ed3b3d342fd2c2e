"""The tape holds what autograd holds: peaks worked out by hand, and the same operations measured by PyTorch's allocator."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.launch.plan.tape import ACTIVATIONS, GRADIENTS, WORKSPACE, Storage, Sym, Tape, Weight


def chain(tape: Tape, x: Sym, layers: int) -> Sym:
    for _ in range(layers):
        x = tape.op([x], x.count, x.width, saves=[x.storage])
    return x


def test_memory_is_free_when_nobody_refers_to_it() -> None:
    tape = Tape()
    first = tape.new(100)
    second = tape.new(50, WORKSPACE)
    del first
    assert (tape.held, tape.peak) == (50, 150)
    del second
    assert tape.held == 0
    assert tape.at_peak == {ACTIVATIONS: 100, WORKSPACE: 50}


def test_without_recording_nothing_is_kept() -> None:
    tape = Tape()
    with tape.silent():
        x = tape.input(10, 4, wants_gradient=True)
        out = chain(tape, x, 5)
    assert (out.node, tape.held, tape.peak) == (None, 80, 120)


def test_a_chain_keeps_every_input_until_its_gradient_is_made() -> None:
    tape = Tape()
    x = tape.input(10, 4, wants_gradient=True)
    out = chain(tape, x, 5)
    assert tape.held == 6 * 40
    node = out.node
    assert node is not None
    del out, x
    # Five saved inputs, the gradient that arrives and the one that is made.
    tape.backward(node, tape.new(40))
    assert (tape.peak, tape.held) == (7 * 40, 0)


def test_the_first_gradient_of_a_weight_stays_and_later_ones_are_added() -> None:
    tape = Tape()
    weight = Weight(tape, 25, 4, trained=True)
    for _ in range(2):
        x = tape.input(10, 4)
        out = tape.op([x, weight], 10, 4, saves=[x.storage])
        assert out.node is not None
        tape.backward(out.node, tape.new(40))
        del out, x
    assert tape.by_part[GRADIENTS] == tape.held == 100
    tape.zero()
    assert tape.held == 0


def test_a_frozen_weight_has_no_gradient() -> None:
    tape = Tape()
    x = tape.input(10, 4)
    out = tape.op([x, Weight(tape, 25, 4, trained=False)], 10, 4, saves=[x.storage])
    assert out.node is None


@given(layers=st.integers(1, 30), every=st.integers(1, 8))
def test_recomputation_never_takes_more_than_one_stretch_beside_the_inputs(layers: int, every: int) -> None:
    tape = Tape()
    x = tape.input(10, 4, wants_gradient=True)
    blocks = [every] * (layers // every) + ([layers % every] if layers % every else [])
    for size in blocks:
        x = tape.checkpoint(lambda entry, size=size: chain(tape, entry, size), x)  # type: ignore[misc]
    node = x.node
    assert node is not None
    del x
    tape.backward(node, tape.new(40))
    del node
    if tape.held:
        gc.collect()
    assert tape.held == 0
    assert tape.peak <= 40 * (len(blocks) + max(blocks) + 4)


@pytest.mark.train
@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_tape_agrees_with_the_allocator(checkpointed: bool) -> None:
    import torch
    from torch.utils.checkpoint import checkpoint

    from tests.support.allocations import count_allocations

    layers, size = 6, 50_000

    def block(x: torch.Tensor) -> torch.Tensor:
        # sin keeps its input.
        return x.sin().sin().sin()

    def work() -> None:
        x = torch.zeros(size, requires_grad=True)
        y = x
        for _ in range(layers):
            y = checkpoint(block, y, use_reentrant=False) if checkpointed else block(y)
        y.backward(torch.ones(size))

    tape = Tape()
    leaf = Weight(tape, size, 4, trained=True)
    kept = tape.new(size * 4)
    x = tape.op([leaf], size, 4, storage=kept, back=lambda grad: (grad,))
    for _ in range(layers):
        x = tape.checkpoint(lambda entry: chain(tape, entry, 3), x) if checkpointed else chain(tape, x, 3)
    node, whole = x.node, Storage(tape, size * 4, ACTIVATIONS)
    assert node is not None
    tape.backward(node, whole)
    measured = count_allocations(work).peak
    # The result stays alive in `work` as `x` and `whole` do here; backward multiplies by a cosine made on the way.
    assert tape.peak + size * 4 == pytest.approx(measured, rel=0.1)
