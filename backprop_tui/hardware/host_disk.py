"""Which block device a path lies on, as the system's counters call it."""

from __future__ import annotations

import os
from pathlib import Path

_SYS = Path("/sys/dev/block")


def block_device(place: Path, sys: Path = _SYS) -> str | None:
    """The device's name such as `nvme0n1p2`; None on a network, memory or overlay file system, or off Linux.

    Args:
        place: an existing path.
        sys: where the kernel lists devices by number.
    """
    try:
        number = os.stat(place).st_dev
        link = sys / f"{os.major(number)}:{os.minor(number)}"
        if link.exists():
            return link.resolve().name
        return _by_mount(place)
    except Exception:
        return None


def _by_mount(place: Path) -> str | None:
    """File systems that span devices (btrfs, zfs) give numbers of their own; the mount table still names a device."""
    import psutil

    resolved = place.resolve()
    best: tuple[int, str] | None = None
    for partition in psutil.disk_partitions(all=False):
        mount = Path(partition.mountpoint)
        if (mount == resolved or mount in resolved.parents) and (best is None or len(mount.parts) > best[0]):
            best = len(mount.parts), partition.device
    if best is None or not best[1].startswith("/dev/"):
        return None
    return Path(best[1]).resolve().name
