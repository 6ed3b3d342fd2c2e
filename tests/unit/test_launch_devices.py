"""A run that wants more GPUs than there are is told so before anything is started."""

from __future__ import annotations

import pytest

from backprop_tui.launch.devices import usable
from backprop_tui.launch.plan.forecast import Facts, processes_of
from backprop_tui.launch.preflight import check, check_and_record
from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec
from tests.unit.hardware.nvml_stub import Gpu, Library, install
from tests.unit.test_plan import codes, gpu, machine


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 4), ("0,1", 2), ("", 0), ("-1", 0), ("0,-1,1", 1), ("GPU-8932f937,GPU-2", 2), ("0,1,2,3,4,5", 4)],
)
def test_only_visible_gpus_count(visible: str | None, count: int) -> None:
    assert usable(4, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == count


def _spec(**overrides: object) -> RunSpec:
    return with_overrides(RunSpec(), {"path": "demo", "base": "demo", **overrides})


def test_a_launch_is_refused_and_a_submission_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install(monkeypatch, Library(gpus=[Gpu(), Gpu()]))
    with pytest.raises(UnavailableError, match="wants 3 GPUs on each machine, and 2 can be used") as told:
        check_and_record(_spec(devices=3))
    assert told.value.code == "DEVICES_TOO_MANY"
    check_and_record(_spec(devices=2))
    check_and_record(_spec(devices=3, device="cpu"))
    # A login node is not where the job will be.
    check(_spec(devices=3))


def test_the_plan_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    two = machine(cards=[gpu(memory_used=0)] * 2)
    assert codes(_spec(devices=3), Facts(machine=two))["DEVICES_TOO_MANY"] == "fail"
    assert codes(_spec(devices=2), Facts(machine=two))["GPU"] == "ok"


def test_every_gpu_is_taken_only_where_gpus_are_used() -> None:
    two = machine(cards=[gpu()] * 2)
    assert processes_of(_spec(devices=0), two) == (2, 2)
    assert processes_of(_spec(devices=0, device="cpu"), two) == (1, 1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"devices": 1}, "set devices to 2"),
        ({"method": "qlora"}, "quantised weights"),
        ({"objective": "dpo"}, "does not go with dpo"),
        ({"adapter_start": "pissa"}, "adapter_start=pissa"),
        ({"nodes": 2}, "need a meeting point"),
        ({"nodes": 2, "rendezvous": "box1:0"}, "need a meeting point"),
    ],
)
@pytest.mark.parametrize("parallel", ["fsdp2", "zero2"])
def test_what_can_not_be_shared_out_is_refused_before_anything_is_read(
    parallel: str, words: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        _spec(**{"devices": 2, "parallel": parallel, "method": "lora", **words})


def test_an_optimiser_whose_states_can_not_be_put_together_again_is_refused() -> None:
    with pytest.raises(UsageError, match="optimizer adamw_torch, sgd, rmsprop"):
        _spec(devices=2, parallel="zero2", optimizer="adafactor")


@pytest.mark.parametrize("words", [{"dtype": "float16"}, {"dtype": "bfloat16", "method": "full"}])
def test_formats_of_which_deepspeed_keeps_more_than_is_saved_are_refused(words: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="choose auto or float32"):
        _spec(**{"devices": 2, "parallel": "zero2", "method": "lora", **words})
    _spec(devices=2, parallel="zero2", method="lora", dtype="bfloat16")
