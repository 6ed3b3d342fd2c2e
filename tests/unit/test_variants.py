"""What adapters, optimisers and attention need is asked before the start, in one line each, naming what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from backprop_tui.config import paths
from backprop_tui.hardware.extras import installed_version
from backprop_tui.launch.preflight import check
from backprop_tui.launch.variants import OPTIMIZER_PACKAGES, check_variants
from backprop_tui.protocol.errors import BackpropError, DataError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.parts.optim import Optimizer
from backprop_tui.protocol.spec import RunSpec


def refused(**overrides: Any) -> BackpropError:
    with pytest.raises(BackpropError) as caught:
        check_variants(with_overrides(RunSpec(), overrides))
    assert "\n" not in str(caught.value)
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_an_optimiser_whose_package_is_missing_is_refused_by_the_packages_name(name: str) -> None:
    package = OPTIMIZER_PACKAGES.get(name)
    if package is None or installed_version(package) is not None:
        check_variants(with_overrides(RunSpec(), {"optimizer": name}))
        return
    error = refused(optimizer=name)
    assert error.code == "EXTRA_MISSING"
    assert package in error.cause
    assert f"pip install {package}" in error.next_step


def test_zero_without_deepspeed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware import extras

    here = extras.installed_version
    monkeypatch.setattr(extras, "installed_version", lambda name: None if name == "deepspeed" else here(name))
    error = refused(parallel="zero2", devices=2)
    assert error.code == "EXTRA_MISSING"
    assert "deepspeed" in error.cause
    assert "parallel=ddp" in error.next_step


def test_attention_that_would_mix_rows_or_do_nothing_is_refused() -> None:
    for attention in ("sdpa", "eager"):
        assert refused(padding_free=True, attention=attention).code == "PADDING_FREE_ATTENTION"
    assert refused(attention="varlen").code == "ATTENTION_WITHOUT_EFFECT"
    for good in ({"padding_free": True}, {"padding_free": True, "attention": "varlen"}, {"packing": True}):
        check_variants(with_overrides(RunSpec(), good))
    check_variants(with_overrides(RunSpec(), {"packing": True, "attention": "varlen"}))


def test_activations_can_go_to_the_host_only_from_a_gpu() -> None:
    assert refused(gradient_checkpointing="offload", device="cpu").code == "OFFLOAD_NEEDS_GPU"


def test_a_model_of_pickles_is_refused_before_the_start(tmp_path: Path) -> None:
    model = tmp_path / "pickled"
    model.mkdir()
    for file in paths.demo_model_dir().iterdir():
        name = "pytorch_model.bin" if file.name == "model.safetensors" else file.name
        (model / name).write_bytes(file.read_bytes())
    with pytest.raises(DataError) as caught:
        check(with_overrides(RunSpec(), {"base": str(model)}))
    assert caught.value.code == "MODEL_NO_SAFETENSORS"
    assert "safetensors" in caught.value.next_step
    assert "\n" not in str(caught.value)
