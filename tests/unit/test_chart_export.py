"""A chart as a file: what is seen, in three formats, never over a file that is there."""

from __future__ import annotations

import csv
import math
import os
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from backprop_tui.app.chart_export import Picture, export, to_csv
from backprop_tui.app.chart_picture import to_png, to_svg
from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.png import Image
from backprop_tui.app.widgets.chart_model import ChartModel, Other
from backprop_tui.protocol.errors import UsageError
from tests.support.curves import BEGAN, chart_of, marked, store_of
from tests.support.runs import HOSTILE

_ROLES = ("text", "muted", "grid", "faint", "accent", "warn", "bad")
COLORS = {"ground": "#121417", **dict.fromkeys(_ROLES, "#8f969f"), **{f"series-{n}": f"#5faf{n}f" for n in range(1, 9)}}
SVG = "{http://www.w3.org/2000/svg}"


def picture(model: ChartModel, heading: str = "a-run · loss") -> Picture:
    return Picture(heading, tuple(model.plots()), model.grid[0] if model.state.layout == "grid" else 1, COLORS)


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(data.decode().splitlines()))


def pixels(png: bytes) -> np.ndarray:
    """What a PNG holds, by the standard's own rules: chunks with their sums, one filter byte per row."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", (0, 0)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
            assert body[8:] == bytes((8, 2, 0, 0, 0))
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(size[1], 1 + size[0] * 3).copy()
    for y in range(1, size[1]):
        assert lines[y, 0] == 2
        lines[y, 1:] += lines[y - 1, 1:]
    return lines[:, 1:].reshape(size[1], size[0], 3)


def test_the_table_holds_every_value_in_view_exactly() -> None:
    model = chart_of(100, evals=25, loss=lambda n: math.nan if n == 50 else n / 7)
    model.show_range(40.0, 60.0)
    found = rows(to_csv(picture(model)))
    assert [int(row["step"]) for row in found] == list(range(40, 61))
    assert [float(row["loss"]) for row in found if row["step"] != "50"] == [n / 7 for n in range(40, 61) if n != 50]
    assert found[10]["loss"] == "nan"
    assert {row["step"]: row["eval_loss"] for row in found}["50"] == repr(1.2 + math.exp(-50 / 40))
    assert {row["step"]: row["eval_loss"] for row in found}["51"] == ""
    assert float(found[0]["loss ema 0.6"]) != float(found[0]["loss"])


def test_another_axis_has_a_column_and_other_runs_have_their_names() -> None:
    model = chart_of(10)
    model.label = "=HYPERLINK(1)"
    model.others = [Other("second", store_of(20), 2, BEGAN)]
    model.state.axis = "tokens"
    found = rows(to_csv(picture(model)))
    assert found[4]["tokens"] == str(5 * 512)
    names = list(found[0])
    assert "second: loss" in names
    assert "'=HYPERLINK(1): loss" in names
    assert found[15]["'=HYPERLINK(1): loss"] == ""
    assert float(found[15]["second: loss"]) == 1.0 + math.exp(-16 / 40)


def test_the_drawing_is_well_formed_whatever_names_say() -> None:
    model = chart_of(100, evals=20, marks=marked(("checkpoint", 40, {"step": 40})))
    model.label = HOSTILE
    model.others = [Other("<script>&\"'", store_of(50), 1, BEGAN)]
    root = ElementTree.fromstring(to_svg(picture(model, "<b>&")))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert "<b>&" in words
    assert any("<script>&\"'" in (word or "") for word in words)
    assert not list(root.iter("script"))
    assert {"#5faf1f", "#5faf2f"} <= {path.get("stroke") for path in root.iter(f"{SVG}path")}


def test_a_spike_among_a_hundred_thousand_is_in_both_pictures() -> None:
    class Long:
        seams: list[int] = []  # noqa: RUF012

        def get(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
            steps = np.arange(1, 100_001)
            return (steps, np.where(steps == 77_777, 9.0, 1.0)) if metric == "loss" else (steps[:0], np.empty(0))

        def names(self) -> list[str]:
            return ["loss"]

    model = ChartModel()
    model.store = Long()
    model.state.smoothing = "raw"
    svg = to_svg(picture(model))
    path = (
        next(p for p in ElementTree.fromstring(svg).iter(f"{SVG}path") if p.get("stroke") == "#5faf1f").get("d") or ""
    )
    heights = [float(place.split()[1]) for place in path.replace("M", "L").split("L")[1:]]
    assert max(heights) - min(heights) > 400
    assert len(svg) < 200_000
    blue = (pixels(to_png(picture(model))) == (0x5F, 0xAF, 0x1F)).all(axis=2)
    assert blue.any(axis=1).sum() > 400


@pytest.mark.parametrize("layout", ["single", "grid", "overlay"])
@pytest.mark.parametrize("log", [False, True])
def test_every_layout_is_drawn(layout: str, log: bool) -> None:
    model = chart_of(
        60, evals=10, marks=marked(("fault", 30, {"code": "X"})), loss=lambda n: math.inf if n == 9 else 1 / n
    )
    model.state.layout, model.state.overlaid, model.state.log_y = layout, ["loss", "lr"], log  # type: ignore[assignment]
    model.paint(76, 22, UNICODE)
    shown = picture(model)
    image = pixels(to_png(shown))
    root = ElementTree.fromstring(to_svg(shown))
    assert image.shape[:2] == (int(root.get("height") or 0), int(root.get("width") or 0))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 3


def test_letters_are_letters() -> None:
    image = Image(40, 20, "#000000")
    image.text("L", 4, 10, "#ffffff", scale=2)
    lit = image.pixels[..., 0] > 0
    rows_lit, columns_lit = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    assert (rows_lit[-1] - rows_lit[0] + 1, columns_lit[-1] - columns_lit[0] + 1) == (14, 10)
    assert lit[rows_lit[0], columns_lit].sum() == 2
    assert lit[rows_lit[-1], columns_lit].sum() == 10
    image.text("Ж", -50, 500, "#ffffff")


@pytest.mark.parametrize("ending", [".svg", ".PNG", ".csv"])
def test_nothing_is_ever_overwritten(tmp_path: Path, ending: str) -> None:
    shown = picture(chart_of(10))
    file = tmp_path / f"chart{ending}"
    assert export(shown, file) == file.stat().st_size > 100
    before = file.read_bytes()
    with pytest.raises(UsageError, match="CHART_EXISTS"):
        export(shown, file)
    assert file.read_bytes() == before
    os.symlink(tmp_path / "nowhere", tmp_path / f"link{ending}")
    with pytest.raises(UsageError, match="CHART_EXISTS"):
        export(shown, tmp_path / f"link{ending}")


def test_another_format_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CHART_FORMAT"):
        export(picture(chart_of(5)), tmp_path / "chart.gif")
    assert not list(tmp_path.iterdir())
