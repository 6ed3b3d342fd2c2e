"""What colours look like: contrast, 256-colour rounding, colour-blind eyes, and how far apart two colours are.

Colour blindness after Machado, Oliveira and Fernandes (2009) at full severity; distances are CIEDE2000.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual.color import Color

Vision = Literal["normal", "protanopia", "deuteranopia", "tritanopia"]
VISIONS: tuple[Vision, ...] = get_args(Vision)
Lab = tuple[float, float, float]

_EYES: dict[Vision, tuple[tuple[float, float, float], ...]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)


def as_is(color: Color) -> Color:
    """The colour a 24-bit terminal shows."""
    return color


def as_256(color: Color) -> Color:
    """The colour a terminal of 256 colours shows, rounded as Rich rounds."""
    number = RichColor.from_rgb(*color.rgb).downgrade(ColorSystem.EIGHT_BIT).number
    return Color(*RichColor.parse(f"color({number})").get_truecolor())


def contrast(one: Color, other: Color) -> float:
    """WCAG contrast ratio, 1 to 21."""
    high, low = sorted((_dot(_XYZ[1], _linear(color)) for color in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(color: Color, vision: Vision) -> Lab:
    """What an eye makes of a colour, in CIELAB."""
    seen = [min(1.0, max(0.0, _dot(row, _linear(color)))) for row in _EYES[vision]]
    x, y, z = (_dot(row, seen) / white for row, white in zip(_XYZ, _WHITE, strict=True))
    fx, fy, fz = (math.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def difference(one: Lab, other: Lab) -> float:
    """CIEDE2000."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - math.sqrt(mean7 / (mean7 + 25**7)))
    c1, c2 = math.hypot(stretch * a1, b1), math.hypot(stretch * a2, b2)
    h1 = math.degrees(math.atan2(b1, stretch * a1)) % 360
    h2 = math.degrees(math.atan2(b2, stretch * a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    if c1 * c2 == 0:
        mean = h1 + h2
    elif abs(h1 - h2) <= 180:
        mean = (h1 + h2) / 2
    else:
        mean = (h1 + h2 + (360 if h1 + h2 < 360 else -360)) / 2
    t = (
        1 - 0.17 * _cos(mean - 30) + 0.24 * _cos(2 * mean) + 0.32 * _cos(3 * mean + 6) - 0.20 * _cos(4 * mean - 63)
    )  # fmt: skip
    sl = 1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    turned = 60 * math.exp(-(((mean - 275) / 25) ** 2))
    rt = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(math.radians(turned))
    dl, dc, dh = (l2 - l1) / sl, (c2 - c1) / sc, hue / sh
    return math.sqrt(dl**2 + dc**2 + dh**2 + rt * dc * dh)


def _linear(color: Color) -> list[float]:
    parts = [part / 255 for part in color.rgb]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _dot(row: tuple[float, ...], values: list[float]) -> float:
    return sum(a * b for a, b in zip(row, values, strict=True))


def _cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))
