"""What large arrays leave behind. glibc keeps freed megabytes for later unless it is told that they are to go back."""

from __future__ import annotations

import sys

#: Blocks from this size on are mapped by themselves, and unmapped when they are freed. Bytes.
_ALONE = 1 << 20
#: M_MMAP_THRESHOLD of malloc.h.
_THRESHOLD = -3


def let_large_blocks_go() -> bool:
    """Make this process give large blocks back when it frees them; says whether its allocator could be told.

    Left to itself, glibc raises its own threshold with the first large block that is freed, and from then on a picture of
    a million steps leaves thirty megabytes of heap that nobody uses.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).mallopt(_THRESHOLD, _ALONE))
    except (ImportError, OSError, AttributeError):
        # Another C library: it has its own ways.
        return False
