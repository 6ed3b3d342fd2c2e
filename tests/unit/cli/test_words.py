from __future__ import annotations

import io
import math

import pytest

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (1.23456, "1.235"),
        (12.0, "12.00"),
        (0.00012345, "0.0001234"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (12345.6, "1.235e+04"),
    ],
)
def test_loss_has_four_digits_and_names_what_is_not_a_number(value: float | None, shown: str) -> None:
    assert words.loss(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.31, "0.3 s"),
        (42, "42 s"),
        (59.7, "1 m 00 s"),
        (185, "3 m 05 s"),
        (7620, "2 h 07 m"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (99_999, "99,999"), (123_456, "123 k"), (81_000_000, "81 M"), (7.6e9, "7.6 G")],
)
def test_counts(value: float | None, shown: str) -> None:
    assert words.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0, "0 B"), (999, "999 B"), (1_234, "1.2 kB"), (85e9, "85 GB")]
)
def test_sizes(value: float | None, shown: str) -> None:
    assert words.size(value) == shown


def test_width_counts_cells_not_characters() -> None:
    assert words.width("日本") == 4
    assert words.width("e\u0301") == 1
    assert words.width("\x1b[31mred\x1b[0m") == 3
    assert words.fit("日本語", 4) == "日… "
    assert words.fit("\x1b[31mcrimson\x1b[0m", 4) == "\x1b[31mcri…\x1b[0m"
    assert words.fit("7", 3, right=True) == "  7"


@pytest.mark.parametrize(
    ("environment", "colour"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_only_where_it_is_wanted(environment: dict[str, str], colour: bool) -> None:
    assert ("\x1b[" in Output(Screen(), Screen(), environment=environment).state(RunState.FAILED)) is colour
    assert "\x1b[" not in Output(io.StringIO(), Screen(), environment=environment).state(RunState.FAILED)


def test_ascii_output_is_ascii() -> None:
    stream = Screen()
    out = Output(stream, Screen(), environment={}, ascii=True)
    for state in RunState:
        out.line(out.state(state))
    out.line("– … · → × “a” ━╸─ ▁▂▃▄▅▆▇█ 40 °C")
    assert stream.getvalue().replace("\x1b", "").isascii()


def test_errors_are_one_line_and_json_when_asked() -> None:
    data, said = io.StringIO(), io.StringIO()
    Output(data, said, as_json=True, environment={}).error(UsageError("X_Y", "It broke.", "Mend it."))
    assert said.getvalue() == "X_Y: It broke. Mend it.\n"
    assert data.getvalue() == '{"error":{"code":"X_Y","cause":"It broke.","next":"Mend it."}}\n'
