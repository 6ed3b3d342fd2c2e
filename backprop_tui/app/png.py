"""A picture from arithmetic alone: pixels, shapes, a small fixed font, and the PNG file around them (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from backprop_tui.app.glyphs import to_ascii

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Five columns of eight dots for each character from space to tilde, lowest bit on top.
_FONT = bytes.fromhex(
    "000000000000005f00000007000700147f147f14242a7f2a12231308646236495620500008070300001c2241000041221c00"
    "2a1c7f1c2a08083e080800807030000808080808000060600020100804023e5149453e00427f400072494949462141494d33"
    "1814127f1027454545393c4a49493141211109073649494936464949291e0000140000004034000000081422411414141414"
    "004122140802015909063e415d594e7c1211127c7f494949363e414141227f4141413e7f494949417f090909013e41415173"
    "7f0808087f00417f41002040413f017f081422417f404040407f021c027f7f0408107f3e4141413e7f090909063e4151215e"
    "7f09192946264949493203017f01033f4040403f1f2040201f3f4038403f631408146303047804036159494d43007f414141"
    "0204081020004141417f04020102044040404040000307080020545478407f284444383844444428384444287f3854545418"
    "00087e090218a4a49c787f0804047800447d40002040403d007f1028440000417f40007c047804787c080404783844444438"
    "fc1824241818242418fc7c08040408485454542404043f44243c4040207c1c2040201c3c4030403c44281028444c9090907c"
    "4464544c440008364100000077000000413608000201020402"
)
#: Width and height of a character's cell, its gap included, in dots.
CHARACTER = (6, 8)


class Image:
    """Pixels of shape (height, width, 3), filled with one colour."""

    def __init__(self, width: int, height: int, ground: str) -> None:
        import numpy as np

        self.pixels: Pixels = np.full((height, width, 3), _rgb(ground), dtype=np.uint8)

    def blend(self, mask: NDArray[np.float64], left: int, top: int, color: str) -> None:
        """Lay a colour over a rectangle as strongly as `mask` says (0 to 1, shape (h, w)); what is outside is cut."""
        import numpy as np

        height, width = mask.shape
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(self.pixels.shape[0], top + height), min(self.pixels.shape[1], left + width)
        if y0 >= y1 or x0 >= x1:
            return
        share = mask[y0 - top : y1 - top, x0 - left : x1 - left, None]
        under = self.pixels[y0:y1, x0:x1]
        self.pixels[y0:y1, x0:x1] = np.rint(under * (1 - share) + np.array(_rgb(color)) * share).astype(np.uint8)

    def text(self, words: str, x: float, y: float, color: str, anchor: str = "start", scale: int = 2) -> None:
        """A line of text whose middle is at height `y`; `anchor` is start, middle or end. In ASCII, like the font."""
        import numpy as np

        words = to_ascii(words)
        if not words:
            return
        dots = np.concatenate([_character(sign) for sign in words], axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
        width = dots.shape[1] - scale
        left = x - (width if anchor == "end" else width / 2 if anchor == "middle" else 0)
        self.blend(dots.astype(float), round(left), round(y - 3.5 * scale), color)

    def png(self) -> bytes:
        """The file."""
        import numpy as np

        height, width, _ = self.pixels.shape
        # Each row as its difference to the one above (filter 2): charts repeat themselves downwards.
        rows = np.zeros((height, 1 + width * 3), dtype=np.uint8)
        flat = self.pixels.reshape(height, width * 3)
        rows[0, 1:], rows[1:, 0], rows[1:, 1:] = flat[0], 2, flat[1:] - flat[:-1]
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = zlib.compress(rows.tobytes(), 9)
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@lru_cache(maxsize=128)
def _character(sign: str) -> NDArray[np.bool_]:
    import numpy as np

    index = ord(sign) - 32
    columns = _FONT[index * 5 : index * 5 + 5] if 0 <= index < 95 else b"\x7f\x41\x41\x41\x7f"
    dots = np.zeros((CHARACTER[1], CHARACTER[0]), dtype=bool)
    for x, column in enumerate(columns):
        dots[:, x] = [(column >> y) & 1 for y in range(8)]
    return dots
