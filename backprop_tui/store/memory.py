"""What large arrays leave behind. glibc keeps freed megabytes for later unless it is told that they are to go back."""

from __future__ import annotations

import sys

#: Blocks from this size on are mapped by themselves, and unmapped when they are freed: a column of a long run, and not the
#: megabyte that is read again and again. Bytes.
_ALONE = 2 << 20
#: Free heap that is kept for the next block. Bytes.
_KEPT = 6 << 20
#: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX of malloc.h.
_THRESHOLD, _TRIM, _ARENAS = -3, -1, -8


def let_large_blocks_go() -> bool:
    """Make this process give large blocks back when it frees them; says whether its allocator could be told.

    Left to itself, glibc raises its own threshold with the first large block that is freed, and from then on a picture of
    a million steps leaves thirty megabytes of heap that nobody uses.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        library = ctypes.CDLL(None)
        # One heap for all threads: each would keep free blocks of its own, and only one of ours runs at a time anyway.
        wanted = ((_THRESHOLD, _ALONE), (_TRIM, _KEPT), (_ARENAS, 1))
        return all(bool(library.mallopt(name, value)) for name, value in wanted)
    except (ImportError, OSError, AttributeError):
        # Another C library: it has its own ways.
        return False
