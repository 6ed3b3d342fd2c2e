"""SVG made independent of fonts: braille cells become dots, so a chart looks the same wherever it is shown."""

from __future__ import annotations

import html
import io
import re
import sys
from pathlib import Path

_TEXT = re.compile(
    r'<text class="([^"]*)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL
)
_BRAILLE = re.compile("[\u2801-\u28ff]")
#: Bit of each dot in a braille character, by column and row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_LINE = 24.4
_ASCENT = 18.5


def draw_braille(svg: str) -> str:
    """Replace every braille character of a Textual screenshot by circles of the same colour."""

    def dots(match: re.Match[str]) -> str:
        if not _BRAILLE.search(match.group(5)):
            return match.group(0)
        name, left, baseline, length = match.group(1), *(float(match.group(group)) for group in (2, 3, 4))
        text = html.unescape(match.group(5))
        width = length / len(text)
        circles = []
        for place, character in enumerate(text):
            if not _BRAILLE.match(character):
                continue
            bits = ord(character) - 0x2800
            for column, rows in enumerate(_DOTS):
                for row, bit in enumerate(rows):
                    if bits & bit:
                        x = left + (place + 0.27 + 0.46 * column) * width
                        y = baseline - _ASCENT + (0.125 + 0.25 * row) * _LINE
                        circles.append(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="1.9"/>')
        rest = _BRAILLE.sub("&#160;", match.group(5))
        return match.group(0).replace(match.group(5), rest) + "".join(circles)

    return _TEXT.sub(dots, svg)


def normalised(svg: str) -> str:
    """The picture without what differs between two makings of the same screen: the name of its styles."""
    return re.sub(r"terminal-\d+", "terminal", svg)


def to_png(files: list[Path]) -> None:
    """PNG beside each SVG, where cairosvg is installed, in 64 colours and a font that this machine has."""
    try:
        import cairosvg
        from PIL import Image
    except (ImportError, OSError):
        print("cairosvg or pillow is not installed: no PNG written", file=sys.stderr)
        return
    for file in files:
        svg = file.read_text().replace("Fira Code", "DejaVu Sans Mono")
        picture = Image.open(io.BytesIO(cairosvg.svg2png(bytestring=svg.encode(), scale=1.0))).convert("RGB")
        picture.quantize(64, dither=Image.Dither.NONE).save(file.with_suffix(".png"), optimize=True)
