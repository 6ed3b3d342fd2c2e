"""The figures' panel: what matters most where there is little room, everything where there is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.figures import figure_lines, short_line
from backprop_tui.app.widgets.figures_speed import moment, money, seconds, watt_hours
from backprop_tui.app.widgets.notice import notice_words
from backprop_tui.app.widgets.progress import progress_words
from backprop_tui.config.prices import read_prices
from backprop_tui.config.settings import load_settings, save_setting
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.figures import Prices
from backprop_tui.store.journal import read_events
from tests.support.runs import FakeRun, gpu
from tests.ui.helpers import shows


def model_of(fake: FakeRun) -> RunModel:
    fake.journal.sync()
    model = RunModel()
    model.apply(list(read_events(fake.run.journal_file)))
    return model


def text_of(model: RunModel, width: int = 60, height: int = 40, prices: Prices | None = None) -> str:
    lines = figure_lines(model, width, height, UNICODE, prices or Prices())
    assert len(lines) <= height
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def test_unknown_figures_are_dashes_with_a_reason() -> None:
    fake = FakeRun().begin()
    text = text_of(model_of(fake))
    assert "tokens/s    –          no step yet" in text
    assert "MFU         –          there is no agreed peak of the cpu" in text
    assert "energy      –          a CPU's power is not measured" in text
    assert " 0 " not in text.replace("step 0", "")
    fake.let_go()


def test_rates_step_times_and_rows() -> None:
    fake = FakeRun().begin(total=200).train(100, trained=900, tokens_per_s=1600.0)
    text = text_of(model_of(fake))
    assert "tokens/s    1,600      steady" in text
    assert "learnt/s    900" in text
    assert "step        1 s        p95 1 s" in text
    assert "rows seen   800        epoch 0.50 of 1" in text
    fake.train(20, tokens_per_s=800.0)
    assert "▼ 50% to the run's" in text_of(model_of(fake))
    fake.let_go()


def test_little_room_keeps_what_matters_in_its_usual_order() -> None:
    fake = FakeRun().begin(total=200, gpus=1).train(100).measure().save()
    model = model_of(fake)
    whole = [line.split("  ")[0].strip() for line in text_of(model).splitlines()]
    few = [line.split("  ")[0].strip() for line in text_of(model, height=5).splitlines()]
    assert few == ["train loss", "eval loss", "grad norm", "tokens/s", "step"]
    assert [name for name in whole if name in few] == few
    wide = figure_lines(model, 118, 9, UNICODE, Prices())
    assert len(wide) <= 9
    text = "\n".join("".join(text for text, _ in line) for line in wide)
    assert all(name in text for name in whole)
    fake.let_go()


def test_energy_and_cost_of_a_past_run_are_those_it_had_live() -> None:
    from backprop_tui.protocol.view import RunView

    fake = FakeRun().begin(total=20)
    fake.add(ev.PLAN, total_steps=20, device="NVIDIA H100 80GB HBM3", dtype="bfloat16", flops_per_token=30e9)
    live = RunView()
    for _ in range(30):
        fake.add(ev.TELEMETRY, gpus=[gpu(power=360.0, run_memory=7)], gpu_reason=None, host={})
        fake.train()
    model = model_of(fake)
    live.apply(read_events(fake.run.journal_file))
    assert model.view.energy_wh == live.energy_wh
    assert live.energy_wh == pytest.approx(360 * live.energy_s / 3600)
    text = text_of(model, prices=Prices(per_kwh=0.3, currency="€"))
    assert "Wh" in text
    assert "0.00 €" in text
    assert "MFU         37.6%      of the GPU's peak" in text
    fake.let_go()


def test_expected_memory_stands_beside_what_was_measured() -> None:
    fake = FakeRun().begin(total=20)
    fake.add(ev.PLAN, total_steps=20, device="cpu", dtype="float32", memory={"peak": 3_000_000_000})
    fake.add(ev.PROBE, stage="probe", expected=2_000_000_000, measured=None, rows=4, longest=512)
    fake.train()
    assert "memory      3.0 GB     of tensors, expected" in text_of(model_of(fake))
    fake.add(ev.PROBE, stage="step", expected=3_000_000_000, measured=3_100_000_000)
    assert "memory      3.1 GB     expected 3.0 GB" in text_of(model_of(fake))
    fake.let_go()


def test_words_of_time_energy_and_money() -> None:
    assert [seconds(value) for value in (None, 0.0042, 0.9, 1.234, 75.0)] == ["–", "4.2 ms", "900 ms", "1.23 s", "1m15"]
    assert [watt_hours(value) for value in (0.001, 0.42, 12.0, 1300.0, 2.5e6)] == [
        "0.00 Wh", "0.42 Wh", "12 Wh", "1.3 kWh", "2.5 MWh",
    ]  # fmt: skip
    assert money(1234.5, Prices(currency="USD")) == "1,234 USD"
    assert money(3.14159, Prices()) == "3.14"
    now = 1_700_000_000.0
    assert moment(now + 60, now).count(" ") == 0
    assert moment(now + 3 * 86400, now).count(" ") == 1
    assert moment(now + 30 * 86400, now).count(" ") == 2
    assert moment(1e300, now) == "~–"


def test_the_end_is_a_guess_until_five_percent() -> None:
    def words(steps: int) -> str:
        fake = FakeRun().begin(total=100)
        fake.add(ev.PHASE, phase="eval", status="start", detail="")
        fake.add(ev.PHASE, phase="eval", status="end", seconds=2.0)
        fake.train(steps)
        _, _, right = progress_words(model_of(fake), 120, UNICODE)
        fake.let_go()
        return "".join(text for text, _ in right)

    assert "ETA ±" in words(4)
    # 95 steps of 1 s, and four evaluations of 2 s.
    assert "ETA 1m43   done ~" in words(5)


async def test_prices_come_from_the_settings(home: Path) -> None:
    save_setting("price_per_gpu_hour", "2.50")
    save_setting("currency", "€")
    assert load_settings().price_per_gpu_hour == 2.5
    assert read_prices({}) == Prices(None, 2.5, "€")
    assert read_prices({"BACKPROP_PRICE_PER_KWH": "0.31"}).per_kwh == 0.31
    for bad in ("-1", "nan", "much", "inf"):
        assert read_prices({"BACKPROP_PRICE_PER_KWH": bad}).per_kwh is None
        with pytest.raises(UsageError):
            save_setting("price_per_kwh", bad)
    fake = FakeRun(name="voyage").begin(total=50, gpus=1)
    fake.add(ev.PLAN, total_steps=50, device="NVIDIA H100 80GB HBM3", dtype="bfloat16")
    fake.train(7)
    app: Any = BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=(120, 60)) as pilot:
        await shows(pilot, "7/50")
        await shows(pilot, "0.00 €")
    (home / "config" / "settings.toml").write_text("price_per_kwh = [")
    assert read_prices({}) == Prices()
    fake.let_go()


def test_what_became_of_a_run_is_told_only_where_it_happened() -> None:
    """Kind of resume, parent and smaller batches: each from its event, none without it."""
    fake = FakeRun().begin(total=40).train(4)
    plain = text_of(model_of(fake))
    assert not any(word in plain for word in ("attempt", "fork of", "batch", "resume"))
    fake.add(
        ev.RESUME,
        kind="warm",
        step=8,
        differences=[],
        skipped=[],
        parent={"run": "x-k3f9", "step": 8, "kept": "weights"},
    )
    assert "fork of     k3f9 at step 8" in text_of(model_of(fake))
    fake.attempt += 1
    fake.add(
        ev.ATTEMPT, attempt=2, pid=2, resume_step=4, batch={"batch_size": 2, "accumulation": 8, "eval_batch_size": 4}
    )
    fake.add(ev.RESUME, kind="exact", step=4, differences=[], skipped=[])
    text = text_of(model_of(fake))
    assert "attempt     2          exact resume" in text
    assert "batch       2 x 8      memory ran out before" in text
    assert "fork of" not in text
    fake.add(ev.RESUME, kind="statistical", step=4, differences=["torch is another one."], skipped=[])
    assert "attempt     2          statistical resume" in text_of(model_of(fake))
    fake.let_go()


def test_rewards_lead_where_they_are_what_is_learnt_from() -> None:
    fake = FakeRun().begin(total=4).train(2, loss=0.0003, reward=0.75, **{"rewards/by_length/std": 0.25})
    fake.measure(loss=-0.5, perplexity=None, reward=0.5)
    model = model_of(fake)
    text = text_of(model)
    assert "minus the reward held out" in text
    assert "reward by_length…" in text
    line = "".join(piece for piece, _ in short_line(model, 100))
    assert line.startswith(" reward 0.75  held out 0.5  reward by_length std 0.25  grad")
    fake.end()
    assert notice_words(model_of(fake), False)[0][0].startswith("✓ Done. Reward 0.75.")


def test_notes_have_a_short_form_where_there_is_little_room_and_an_ellipsis_as_the_last_resort() -> None:
    fake = FakeRun().begin(total=40).train(20, **{"rewards/margin": 0.004999, "kl_per_token": 0.012345678})
    fake.measure(loss=0.5, perplexity=None, **{"rewards/margin": 0.0086091, "kl_per_token": 0.01})
    fake.attempt += 1
    fake.add(ev.ATTEMPT, attempt=2, pid=2, resume_step=4, batch={"batch_size": 2, "accumulation": 8})
    fake.add(ev.RESUME, kind="statistical", step=4, differences=[], skipped=[])
    # The panel's width on a terminal of 120 columns.
    text = text_of(model_of(fake), width=40)
    assert all(len(line) <= 40 for line in text.splitlines())
    # Under the longest title there is least room.
    assert "reward margin    0.004999   eval 0.0086" in text
    assert "MFU              –  there is no" in text
    assert "attempt          2          statistic" in text
    fake.let_go()


def test_the_one_line_tells_an_objectives_first_figure_and_leaves_out_what_has_no_room() -> None:
    fake = FakeRun().begin(total=4).train(2, **{"rewards/margin": 0.25, "rewards/accuracy": 0.75}).measure().save()
    model = model_of(fake)
    lines = {width: "".join(piece for piece, _ in short_line(model, width)) for width in (40, 78, 118)}
    assert "reward margin 0.25  grad" in lines[78]
    assert "reward margin 0.25  pairs right 75 %  grad" in lines[118]
    assert all(len(line) <= width for width, line in lines.items())
    assert "save" not in lines[40]
    fake.let_go()


def test_a_multi_run_counts_its_runs_and_the_passes_of_each() -> None:
    fake = FakeRun().begin(total=8).train(4)
    words = {"of": 2, "name": "rows 1–8", "rows": 8, "replayed": 0, "lr": 1e-3}
    fake.add(ev.STAGE, status="begin", index=2, first_step=5, last_step=8, **words)
    merge = {
        "index": 1,
        "step": 4,
        "strategy": "slao",
        "share": 0.707,
        "drift": 0.25,
        "accepted": True,
        "reason": "",
        "merged": 1,
    }
    model = model_of(fake)
    assert "run         2 of 2     nothing merged yet" in text_of(model)
    fake.add(ev.MERGE, **merge)
    model = model_of(fake)
    assert "run         2 of 2     λ 0.707" in text_of(model)
    assert "drift       0.250      of run 1" in text_of(model)
    assert "epoch 0.50 of" not in text_of(model)
    right = "".join(words for words, _ in progress_words(model, 120, UNICODE)[2])
    assert "run 2/2   epoch 0.50  " in right
    fake.let_go()
