"""A line of one's own: filled from what is known, and no way from a template into the program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.cli.watch_format import FIELDS, Facts, Template
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view import RunView
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import RunSummary
from tests.support.runs import HOSTILE, FakeRun


def facts(
    view: RunView | None = None, title: str = "a-run", state: RunState = RunState.RUNNING, **known: object
) -> Facts:
    view = view or RunView(state=state)
    for name, value in known.items():
        setattr(view, name, value)
    run = RunDir.__new__(RunDir)
    object.__setattr__(run, "path", __import__("pathlib").Path("/nowhere/20261123-184705-k3f9"))
    return Facts(RunSummary(run, title, "demo", "demo", "lora", 0.0, view, state), view, state)


def fill(text: str, **known: object) -> str:
    return Template(text).fill(facts(**known))  # type: ignore[arg-type]


def test_values_take_their_own_format_or_ours() -> None:
    known = {"loss": 1.04123, "step": 1240, "total_steps": 4000, "lr": 1.84e-4}
    assert (
        fill("{loss:.3f} {loss} {step}/{total:,} {percent:.1f}% {lr}", **known)
        == "1.041 1.041 1,240/4,000 31.0% 1.84e-4"
    )
    assert fill("{{{state}}} {name:>7}|{name:<7}|", **known) == "{running}   a-run|a-run  |"


def test_unknown_is_a_dash_in_the_place_of_the_value() -> None:
    assert fill("[{loss:.3f}] [{loss:8.3f}] [{lr:<6.1e}] [{eta:>5}] [{gpu_temp:03.0f}] [{loss:*^5.1f}]") == (
        "[–] [       –] [–     ] [    –] [  –] [**–**]"
    )


def test_what_is_not_finite_says_so() -> None:
    assert fill(
        "{loss:.3f} {grad_norm:6.1f} {eval_loss}", loss=float("nan"), grad_norm=float("inf"), eval_loss=float("nan")
    ) == ("nan    inf nan")


def test_a_run_that_is_over_has_no_time_left() -> None:
    fake = FakeRun().begin(total=20).train(10)
    from backprop_tui.store.summary import load_summary

    summary = load_summary(fake.run)
    live = Facts(summary, summary.view, summary.state)
    assert Template("{eta_s:.0f} {eta}").fill(live) == "10 10 s"
    fake.let_go()
    summary = load_summary(fake.run)
    assert Template("{eta} {state}").fill(Facts(summary, summary.view, summary.state)) == "– crashed"


def test_the_machine_is_told_from_the_cards_of_the_run() -> None:
    from backprop_tui.store.summary import load_summary

    fake = FakeRun().begin(total=20, gpus=2).train(2)
    summary = load_summary(fake.run)
    summary.view.plan["device"] = "NVIDIA H100 80GB HBM3"
    told = Template("{gpu_util:.0f} {gpu_temp:.0f} {power:.0f}").fill(Facts(summary, summary.view, summary.state))
    fake.end()
    assert told == "91 71 1224"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("{los}", "FORMAT_FIELD_UNKNOWN", "{loss}"),
        ("{zzzzqqq}", "FORMAT_FIELD_UNKNOWN", "--help"),
        ("{__class__}", "FORMAT_FIELD_UNKNOWN", ""),
        ("{loss.__class__}", "FORMAT_INVALID", "dots"),
        ("{loss[0]}", "FORMAT_INVALID", "brackets"),
        ("{}", "FORMAT_FIELD_UNKNOWN", ""),
        ("{0}", "FORMAT_FIELD_UNKNOWN", ""),
        ("{loss!r}", "FORMAT_INVALID", "conversion"),
        ("{loss:{step}}", "FORMAT_INVALID", "no format"),
        ("{loss:999999999999f}", "FORMAT_INVALID", "no format"),
        ("{loss:.999999999f}", "FORMAT_INVALID", "no format"),
        ("{loss:d}", "FORMAT_INVALID", "suit"),
        ("{eta:.3f}", "FORMAT_INVALID", "{eta_s}"),
        ("{loss", "FORMAT_INVALID", "brace"),
        ("loss}", "FORMAT_INVALID", "brace"),
        ("{loss:%H:%M}", "FORMAT_INVALID", "no format"),
        ("x" * 3000, "FORMAT_INVALID", "longer"),
        ("{\x1b7owned\x07}", "FORMAT_FIELD_UNKNOWN", ""),
    ],
)
def test_a_template_that_asks_for_more_is_refused_in_one_line(text: str, code: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(text)
    assert caught.value.code == code
    assert hint in f"{caught.value.cause} {caught.value.next_step}"
    assert str(caught.value).isprintable()


def test_foreign_text_is_harmless() -> None:
    line = Template("{name} {fault} {phase}").fill(
        facts(title=HOSTILE, fault={"code": HOSTILE}, phase=HOSTILE)  # type: ignore[arg-type]
    )
    assert "\x1b" not in line
    assert "\x9b" not in line
    assert "\u202e" not in line
    assert "[/INST]" in line


@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from([*"{}:.!<>^0123456789fdseg%,[] ", *FIELDS]), max_size=12).map("".join)
)
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        template = Template(text)
    except UsageError:
        return
    for state in RunState:
        assert isinstance(template.fill(facts(state=state)), str)


@given(
    name=st.sampled_from(sorted(FIELDS)),
    spec=st.sampled_from(["", ".3f", "8", "<8", "*^9", ",", ".2e", "d", "%", "08.2f", "+.1f", "s"]),
    value=st.none() | st.floats() | st.integers(-(10**12), 10**12) | st.text(max_size=5),
)
def test_whatever_a_journal_holds_a_line_is_written(name: str, spec: str, value: object) -> None:
    try:
        template = Template(f"{{{name}:{spec}}}")
    except UsageError:
        return
    template.fill(facts(loss=value, lr=value, eval_loss=value, epoch=value, grad_norm=value, exact_match=value))
