"""The mathematics of merging runs: properties that must hold for every adapter."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.engine.worker.multi import slao
from backprop_tui.engine.worker.multi.adapter import adapter_of
from backprop_tui.engine.worker.multi.merger import TENSORS, Merger
from backprop_tui.engine.worker.multi.slao import is_b, orthonormal_rows, overlap, scale
from backprop_tui.engine.worker.multi.strategies import STRATEGIES, Adapter
from backprop_tui.protocol.errors import DataError, RunFailed, UsageError
from backprop_tui.protocol.parts.multi import MultiPart

SCALINGS = st.sampled_from(["sqrt", "linear", "log", "constant"])
LAYERS = ("model.layers.0.q_proj", "model.layers.1.q_proj")


def adapter(seed: int, rank: int = 3, size: int = 8, zero_b: bool = False) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    made: Adapter = {}
    for layer in LAYERS:
        made[f"{layer}.lora_A.default.weight"] = torch.randn(rank, size, generator=draw)
        b = torch.randn(size, rank, generator=draw)
        made[f"{layer}.lora_B.default.weight"] = torch.zeros_like(b) if zero_b else b
    return made


def merger(**settings: object) -> Merger:
    made = Merger(MultiPart(multi="windows", **settings), seed=7)
    made.begin(adapter(0, zero_b=True))
    return made


def merge_all(made: Merger, count: int) -> list[Adapter]:
    tuned = [adapter(run) for run in range(1, count + 1)]
    for run, one in enumerate(tuned, start=1):
        made.accept(made.propose(one, run))
    return tuned


@st.composite
def matrices(draw):
    rank, extra = draw(st.integers(1, 8)), draw(st.integers(0, 8))
    seed = draw(st.integers(0, 2**31 - 1))
    rows = torch.randn(rank, rank + extra, generator=torch.Generator().manual_seed(seed))
    # Rows that are zero, repeated, or sums of others: what is left of a row has no direction of its own.
    for row in range(rank):
        kind = draw(st.sampled_from(["plain", "plain", "zero", "copy", "sum"]))
        if kind == "zero":
            rows[row] = 0
        elif kind == "copy":
            rows[row] = rows[0]
        elif kind == "sum":
            rows[row] = rows.sum(0)
    return rows * 10.0 ** draw(st.integers(-18, 18))


class TestOrthonormalRows:
    @settings(max_examples=150, deadline=None)
    @given(matrices())
    def test_rows_are_orthonormal_whatever_they_were(self, rows):
        found = orthonormal_rows(rows)
        assert found.shape == rows.shape
        torch.testing.assert_close(found @ found.T, torch.eye(len(rows)), atol=1e-5, rtol=0)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 6))
    def test_they_span_the_same_space_and_keep_its_orientation(self, seed, rank):
        rows = torch.randn(rank, 9, generator=torch.Generator().manual_seed(seed))
        found = orthonormal_rows(rows)
        torch.testing.assert_close(rows @ found.T @ found, rows, atol=1e-4, rtol=1e-4)
        # The sign is fixed by a positive diagonal of R: a row and the row it came from never point apart.
        assert bool((torch.diagonal(rows @ found.T) >= -1e-5).all())
        torch.testing.assert_close(orthonormal_rows(found), found, atol=1e-5, rtol=0)

    def test_a_zero_row_is_completed_instead_of_lost(self):
        rows = torch.tensor([[1.0, 0, 0], [0, 0, 0]])
        found = orthonormal_rows(rows)
        assert float(found[1].norm()) == pytest.approx(1.0)
        torch.testing.assert_close(found[0], rows[0])

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_goes_through_float32(self, dtype):
        found = orthonormal_rows(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)).to(dtype))
        assert found.dtype is dtype
        torch.testing.assert_close(found.float() @ found.float().T, torch.eye(4), atol=2e-2, rtol=0)

    def test_more_rows_than_inputs_and_numbers_that_are_none_are_refused(self):
        with pytest.raises(UsageError, match="rank 5") as caught:
            orthonormal_rows(torch.ones(5, 3))
        assert caught.value.code == "MERGE_RANK"
        with pytest.raises(RunFailed, match="not finite"):
            orthonormal_rows(torch.full((2, 3), torch.nan))


class TestScale:
    @given(st.integers(1, 10_000), SCALINGS, st.floats(0, 1), st.floats(0, 1))
    def test_it_never_leaves_the_floor_and_one(self, i, scaling, floor, constant):
        found = scale(i, scaling, floor=floor, constant=constant)
        assert floor <= found <= 1.0
        assert i > 1 or found == 1.0

    def test_the_formulas(self):
        assert scale(4) == 0.5
        assert scale(4, "linear") == 0.25
        assert scale(4, "log") == 1 / math.log(5)
        assert scale(4, "constant", constant=0.3) == 0.3
        assert scale(10_000) == 0.1
        # 1 / ln 2 is above 1 and ln 2 is what the first run would get.
        assert scale(1, "log") == 1.0
        with pytest.raises(ValueError, match="counted from 1"):
            scale(0)


class TestOverlap:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 1000), st.integers(0, 1000))
    def test_it_is_the_cosine_of_the_products(self, one, other):
        first, second = adapter(one), adapter(other)

        def flat(made: Adapter) -> torch.Tensor:
            return torch.cat([(made[b].double() @ made[a].double()).flatten() for a, b in slao.pairs(made)])

        wanted = float(torch.nn.functional.cosine_similarity(flat(first), flat(second), dim=0))
        assert overlap(first, second) == pytest.approx(wanted, abs=1e-9)

    def test_a_change_of_basis_is_no_drift_and_zero_has_no_direction(self):
        first = adapter(1)
        turned = dict(first)
        for a, b in slao.pairs(first):
            mix = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))[0]
            turned[a], turned[b] = mix @ first[a], first[b] @ mix.T
        assert overlap(first, turned) == pytest.approx(1.0, abs=1e-6)
        assert overlap(first, adapter(0, zero_b=True)) is None


class TestSlao:
    def test_a_is_replaced_and_b_moves_by_the_share(self):
        made = merger()
        first, second, third = merge_all(made, 3)
        for name, value in made.merged.items():
            if is_b(name):
                two = first[name] + (second[name] - first[name]) / math.sqrt(2)
                torch.testing.assert_close(value, two + (third[name] - two) / math.sqrt(3))
            else:
                assert torch.equal(value, third[name])

    def test_the_next_run_starts_from_the_last_fine_tuned_adapter_not_the_merged_one(self):
        made = merger()
        tuned = merge_all(made, 3)[-1]
        for name, value in made.start(4).items():
            if is_b(name):
                assert torch.equal(value, tuned[name])
                assert not torch.equal(value, made.merged[name])
            else:
                torch.testing.assert_close(value, orthonormal_rows(tuned[name]))

    def test_the_first_run_is_plain_lora(self):
        made = merger()
        start = adapter(0, zero_b=True)
        assert all(torch.equal(value, start[name]) for name, value in made.start(1).items())
        [tuned] = merge_all(made, 1)
        assert all(torch.equal(value, tuned[name]) for name, value in made.merged.items())

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8), st.sampled_from(["sqrt", "linear", "log", "constant"]),
           st.booleans(), st.booleans())  # fmt: skip
    def test_merged_b_stays_between_the_least_and_the_greatest_seen(self, seeds, scaling, adaptive, layered):
        made = merger(scaling=scaling, adaptive_scale=adaptive, layer_scale=layered)
        tuned = [adapter(seed) for seed in seeds]
        for run, one in enumerate(tuned, start=1):
            made.accept(made.propose(one, run))
        for name, value in made.merged.items():
            stack = torch.stack([one[name] for one in tuned])
            assert bool((value >= stack.amin(0) - 1e-5).all() and (value <= stack.amax(0) + 1e-5).all())

    def test_floor_and_constant_are_those_of_the_settings(self):
        constant, floored = merger(scaling="constant", scale_constant=0.3), merger(scaling="linear", scale_floor=0.9)
        for made, share in ((constant, 0.3), (floored, 0.9)):
            merge_all(made, 1)
            assert made.propose(adapter(2), 2).share == share

    def test_adaptive_scaling_merges_less_of_what_pulls_against(self):
        first = adapter(1)
        against = {name: -value if is_b(name) else value for name, value in first.items()}
        shares = []
        for second in (first, against):
            made = merger(adaptive_scale=True)
            made.accept(made.propose(first, 1))
            shares.append(made.propose(second, 2).share)
        assert shares[0] == pytest.approx(min(1.0, 1.5 / math.sqrt(2)))
        assert shares[1] == pytest.approx(0.5 / math.sqrt(2))

    def test_layer_scaling_merges_less_in_early_layers_and_the_same_on_average(self):
        plain, layered = merger(), merger(layer_scale=True)
        first, second = merge_all(plain, 2)
        merge_all(layered, 2)
        moved = {}
        for label, made in (("plain", plain), ("layered", layered)):
            for layer in LAYERS:
                name = f"{layer}.lora_B.default.weight"
                moved[label, layer] = float(
                    (made.merged[name] - first[name]).norm() / (second[name] - first[name]).norm()
                )
        assert moved["layered", LAYERS[0]] == pytest.approx(0.6 * moved["plain", LAYERS[0]])
        assert moved["layered", LAYERS[1]] == pytest.approx(min(1.0, 1.4 * moved["plain", LAYERS[1]]), abs=1e-6)
        assert sum(slao.by_layer(f"layers.{number}.x", 5) for number in range(5)) == pytest.approx(5.0)


class TestMerger:
    def test_asking_before_a_run_was_merged_is_a_clear_error(self):
        with pytest.raises(RunFailed) as raised:
            _ = merger().merged
        assert raised.value.code == "MERGER_EMPTY"
        with pytest.raises(RunFailed) as raised:
            Merger(MultiPart(), 0).start(1)
        assert raised.value.code == "MERGER_NOT_STARTED"

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_merge_that_is_not_finite_is_refused_and_nothing_changes(self, strategy, bad):
        made = merger(merge=strategy)
        merge_all(made, 2)
        before = made.memory
        broken = adapter(9)
        broken[f"{LAYERS[1]}.lora_B.default.weight"][0, 0] = bad
        with pytest.raises(RunFailed) as raised:
            made.propose(broken, 3)
        assert raised.value.code == "MERGE_NOT_FINITE"
        assert made.memory is before

    def test_tensors_of_another_shape_or_name_are_refused(self):
        made = merger()
        for other in (adapter(1, rank=2), {name + "x": value for name, value in adapter(1).items()}):
            with pytest.raises(RunFailed) as raised:
                made.propose(other, 1)
            assert raised.value.code == "MERGE_MISMATCH"

    def test_a_proposal_that_is_not_accepted_changes_nothing_and_accepting_twice_is_once(self):
        made = merger()
        merge_all(made, 1)
        before = made.merged
        merge = made.propose(adapter(5), 2)
        assert all(torch.equal(value, before[name]) for name, value in made.merged.items())
        made.accept(merge)
        once = made.merged
        made.accept(merge)
        assert made.runs == 2
        assert all(torch.equal(value, once[name]) for name, value in made.merged.items())

    def test_what_is_handed_in_may_change_afterwards(self):
        made = merger()
        tuned = adapter(3)
        made.accept(made.propose(tuned, 1))
        for value in tuned.values():
            value.zero_()
        assert all(bool(value.any()) for value in made.merged.values())

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_state_saved_and_read_goes_on_with_the_same_tensors(self, strategy, tmp_path):
        made = merger(merge=strategy, adaptive_scale=True, layer_scale=True)
        merge_all(made, 2)
        made.save(tmp_path)
        read = Merger(MultiPart(multi="windows", merge=strategy, adaptive_scale=True, layer_scale=True), seed=7)
        read.load(tmp_path)
        assert read.runs == 2
        for one in (made, read):
            one.accept(one.propose(adapter(11), 3))
        for mine, theirs in ((made.merged, read.merged), (made.start(4), read.start(4))):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(value, theirs[name]) for name, value in mine.items())

    def test_a_state_of_other_settings_or_with_a_flipped_byte_is_refused(self, tmp_path):
        made = merger(scaling="linear")
        merge_all(made, 1)
        made.save(tmp_path)
        for other in (Merger(MultiPart(scaling="log"), 7), Merger(MultiPart(scaling="linear"), 8)):
            with pytest.raises(DataError) as raised:
                other.load(tmp_path)
            assert raised.value.code == "MERGER_SETTINGS"
        content = bytearray((tmp_path / TENSORS).read_bytes())
        content[-1] ^= 1
        (tmp_path / TENSORS).write_bytes(content)
        with pytest.raises(DataError) as raised:
            made.load(tmp_path)
        assert raised.value.code == "MERGER_DAMAGED"
        assert made.runs == 1


class TestOtherStrategies:
    def test_starts(self):
        tuned = adapter(2)
        first = adapter(0, zero_b=True)
        for strategy in STRATEGIES:
            made = merger(merge=strategy)
            merge_all(made, 2)
            start = made.start(3)
            b = f"{LAYERS[0]}.lora_B.default.weight"
            wanted = {
                "slao": tuned[b], "sequential": tuned[b], "linear": tuned[b], "from-merged": made.merged[b],
                "random-init": first[b], "ties": first[b], "dare": first[b],
            }  # fmt: skip
            assert torch.equal(start[b], wanted[strategy]), strategy

    def test_sequential_delivers_the_last_run_and_linear_blends_both_factors(self):
        last, blend = merger(merge="sequential"), merger(merge="linear", scaling="linear")
        first, second = merge_all(last, 2)
        merge_all(blend, 2)
        assert all(torch.equal(value, second[name]) for name, value in last.merged.items())
        for name, value in blend.merged.items():
            torch.testing.assert_close(value, (first[name] + second[name]) / 2)

    def test_ties_keeps_what_two_equal_runs_agree_on_and_trims_the_least(self):
        made = merger(merge="ties")
        tuned = adapter(4)
        for run in (1, 2):
            made.accept(made.propose(tuned, run))
        first = adapter(0, zero_b=True)
        name = f"{LAYERS[0]}.lora_B.default.weight"
        kept = made.merged[name] != first[name]
        assert int(kept.sum()) == int(0.8 * kept.numel())
        torch.testing.assert_close(made.merged[name][kept], tuned[name][kept])

    def test_dare_draws_from_its_own_numbers(self):
        made = [merger(merge="dare") for _ in range(2)]
        for one in made:
            torch.manual_seed(len(made))
            before = torch.get_rng_state()
            merge_all(one, 3)
            assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(value, made[1].merged[name]) for name, value in made[0].merged.items())

    def test_random_starts_differ_from_run_to_run_and_come_again_with_the_seed(self):
        one, again = merger(merge="random-init"), merger(merge="random-init")
        merge_all(one, 2)
        merge_all(again, 2)
        a = f"{LAYERS[0]}.lora_A.default.weight"
        assert torch.equal(one.start(3)[a], again.start(3)[a])
        assert not torch.equal(one.start(3)[a], one.start(4)[a])
        assert float(one.start(3)[a].abs().max()) <= 1 / math.sqrt(8)


def test_a_model_without_an_adapter_has_nothing_to_merge() -> None:
    with pytest.raises(UsageError, match="MULTI_NO_ADAPTER"):
        adapter_of(torch.nn.Linear(2, 2))
