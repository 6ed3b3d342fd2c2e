"""Every kind of adapter, noise and layout of a batch: it does what it says, others can read it, and it resumes exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from backprop_tui.config import paths
from backprop_tui.store.layout import RunDir, create_run
from tests.support.worker_driver import (
    Event,
    WorkerThread,
    checkpoint_dir,
    new_run,
    quick_spec,
    step_figures,
    train,
)

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]

#: Eight steps with dropout, saved in the middle; few held-out rows, so that measuring is short.
SHORT: dict[str, Any] = {"accumulation": 1, "dropout": 0.1, "save_every": 4, "eval_split": 0.01, "rank": 8, "alpha": 16}


def losses(events: list[Event]) -> list[float]:
    return [event["loss"] for event in events if event["k"] == "step"]


def continued(run: RunDir, step: int = 4, **settings: Any) -> WorkerThread:
    """The same run again from one of its checkpoints."""
    other = create_run(quick_spec(**settings).model_dump())
    shutil.copytree(run.checkpoint(step), other.checkpoint(step))
    with WorkerThread(other, resume=f"checkpoints/step-{step:06d}") as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    return worker


def same_tail(whole: WorkerThread, again: WorkerThread) -> bool:
    """Whether every figure and every weight after the seam is the same to the last bit."""
    from safetensors.torch import load_file

    before, after = step_figures(whole.events), step_figures(again.events)
    ours, theirs = (
        load_file(next(checkpoint_dir(worker.run, worker.ended()).glob("*model.safetensors")))
        for worker in (whole, again)
    )
    return (
        len(after) == 4
        and all(figures == before[step] for step, figures in after.items())
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "nf4": {"method": "qlora", "quantization": "nf4"},
    "int8": {"method": "qlora", "quantization": "int8"},
    "dora": {"dora": True},
    "rslora": {"rslora": True},
    "pissa": {"adapter_start": "pissa"},
    "pissa-rslora": {"adapter_start": "pissa", "rslora": True},
    "lora-plus": {"lora_plus": 16.0, "learning_rate": 2e-4},
    "neftune": {"neftune": 5.0},
    "padding-free": {"padding_free": True},
    "full": {"method": "full", "dropout": 0.0},
}


@pytest.fixture(scope="module")
def _place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def plain(_place) -> WorkerThread:
    return train(**SHORT)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_differs_and_resumes_to_the_last_bit(name, plain):
    settings = {**SHORT, **VARIANTS[name]}
    whole = train(**settings)
    assert whole.ended()["outcome"] == "completed", whole.of("fault")
    figures = losses(whole.events)
    assert figures[-1] < figures[0]
    same = losses(plain.events) == figures
    assert not same, "a flag without effect"
    assert same_tail(whole, continued(whole.run, **settings))


def test_pissa_is_an_ordinary_adapter_over_the_untouched_base():
    """What plain PEFT makes of the original base and the saved files answers as the trained model did."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from backprop_tui.engine.worker.methods import pissa

    worker = train(**SHORT, adapter_start="pissa", samples=0)
    place = checkpoint_dir(worker.run, worker.ended())
    config = json.loads((place / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16, 32)
    assert config["init_lora_weights"] is True

    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(paths.demo_model_dir(), dtype=torch.float32)

    ids = torch.arange(4, 40)[None]
    with torch.no_grad():
        untouched = base()(ids).logits
        loaded = PeftModel.from_pretrained(base(), place).eval()(ids).logits
        trained = _as_trained(base(), place, pissa)(ids).logits
    assert not torch.allclose(untouched, loaded, atol=1e-2), "it learnt something"
    assert torch.allclose(trained, loaded, atol=1e-4)


def _as_trained(model: Any, place: Path, pissa: Any) -> Any:
    """The model as it stood in training: the rest of the base, and the trained half of the adapter."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    pissa.begin(adapted, place)
    assert pissa.restore(adapted, place)
    return adapted.eval()


def test_pissa_starts_as_the_base_itself_and_refuses_a_rank_a_layer_does_not_have():
    worker = train(**SHORT, adapter_start="pissa", steps=1)
    usual = train(**SHORT, steps=1)
    (one,), (other,) = worker.of("eval", step=0), usual.of("eval", step=0)
    assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
    refused = train(**{**SHORT, "rank": 512}, adapter_start="pissa", steps=1)
    assert [fault["code"] for fault in refused.of("fault")] == ["PISSA_RANK"]


def test_an_adapter_says_its_kind_to_plain_peft():
    worker = train(**SHORT, dora=True, rslora=True, steps=1)
    config = json.loads((checkpoint_dir(worker.run, worker.ended()) / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (True, True)


def test_the_ratio_of_lora_plus_outlives_a_change_of_the_rate():
    """Both groups follow the schedule, and a rate set by hand moves both."""
    settings = {**SHORT, "lora_plus": 16.0, "learning_rate": 1e-4, "schedule": "linear", "steps": 400}
    with WorkerThread(new_run(**settings)) as worker:
        worker.wait_for("step", step=2)
        assert worker.obeyed("set", learning_rate=5e-5)["ok"]
        worker.obeyed("checkpoint")
        worker.command("stop")
        place = checkpoint_dir(worker.run, worker.ended())
    state = torch.load(place / "optimizer.pt", weights_only=True)
    rates = [group["lr"] for group in state["param_groups"] if group["params"]]
    assert len(rates) == 2
    assert rates[1] == pytest.approx(16 * rates[0])
    assert rates[0] <= 5e-5


def test_noise_is_there_in_training_and_not_in_measuring(plain):
    noisy = train(**SHORT, neftune=5.0)
    assert losses(noisy.events)[0] != losses(plain.events)[0]
    (with_noise,), (without,) = noisy.of("eval", step=0), plain.of("eval", step=0)
    assert with_noise["loss"] == without["loss"]


def test_rows_end_to_end_learn_what_padded_rows_learn():
    settings = {**SHORT, "dropout": 0.0}
    padded, flat = train(**settings), train(**settings, padding_free=True)
    packed, by_row = train(**settings, packing=True), train(**settings, packing=True, attention="varlen")
    for one, other in ((padded, flat), (packed, by_row)):
        assert losses(one.events) == pytest.approx(losses(other.events), rel=1e-4)
        assert one.of("plan")[0]["trained_tokens"] == other.of("plan")[0]["trained_tokens"]


@pytest.mark.parametrize("attention", ["sdpa", "eager", "varlen"])
def test_rows_of_one_line_never_see_each_other(attention):
    """A row's logits are the same to the last bit whatever stands before it."""
    from transformers import AutoModelForCausalLM

    from backprop_tui.engine.worker.attention import attention_of
    from backprop_tui.engine.worker.rows import Collator, RowStore, Sequences

    class Row:
        def __init__(self, ids: list[int]) -> None:
            self.ids, self.trained = ids, [True] * len(ids)

    spec = quick_spec(packing=True, attention=attention)
    model = AutoModelForCausalLM.from_pretrained(
        paths.demo_model_dir(), dtype=torch.float32, attn_implementation=attention_of(spec)
    ).eval()
    tails = []
    for before in (range(10, 20), range(40, 50)):
        store = RowStore([Row([*before]), Row([*range(60, 72)])])
        batch = Collator(Sequences(store, [[0, 1]], packed=True, flat=attention == "varlen"), 0).batch([0])
        inputs = {key: value for key, value in batch.items() if not key.endswith("_tokens") and key != "labels"}
        with torch.no_grad():
            tails.append(model(**inputs, use_cache=False).logits[:, 10:])
    assert torch.equal(*tails)


def test_rows_end_to_end_without_their_bounds_are_refused():
    from transformers import AutoModelForCausalLM

    from backprop_tui.engine.worker.attention import attention_of

    model = AutoModelForCausalLM.from_pretrained(
        paths.demo_model_dir(), attn_implementation=attention_of(quick_spec(packing=True, attention="varlen"))
    )
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(ValueError, match="where they begin"):
        model(input_ids=torch.arange(5, 10)[None], position_ids=positions, use_cache=False)


@pytest.mark.parametrize("level", ["every-4th", "every-2nd", "full"])
def test_recomputed_layers_give_the_same_losses(level, plain):
    assert losses(train(**SHORT, gradient_checkpointing=level).events) == losses(plain.events)


def test_layers_that_are_recomputed_are_every_nth():
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig

    from backprop_tui.engine.worker.movement import movement_options
    from backprop_tui.engine.worker.schedule import make_schedule

    spec = quick_spec(gradient_checkpointing="every-2nd")
    words = movement_options(spec, make_schedule(spec, 8, 4), SFTConfig)["activation_checkpointing_kwargs"]
    assert words.pop("use_reentrant") is False
    model = LlamaForCausalLM(LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=5, num_attention_heads=1, num_key_value_heads=1, vocab_size=8
    ))  # fmt: skip
    model.activation_checkpointing_enable({"use_reentrant": False}, **words)
    assert [layer.gradient_checkpointing for layer in model.model.layers] == [True, False, True, False, True]


def test_activations_in_host_memory_need_a_gpu():
    worker = train(**SHORT, gradient_checkpointing="offload", steps=1)
    assert [fault["code"] for fault in worker.of("fault")] == ["OFFLOAD_NEEDS_GPU"]
