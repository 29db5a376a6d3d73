"""The memory that a process has and does not use."""

import ctypes
from pathlib import Path
from typing import Any

DONTNEED = 4
"""madvise's word on Linux."""
MAPS = Path("/proc/self/maps")


def give_back() -> None:
    """Hands back to the system what one trial, or reading data, took, and lets go of code that was read for that.

    To load torch is to read 50 MB of it. What is used comes back by itself from the system's cache, in milliseconds.
    """
    trim()
    try:
        lines = MAPS.read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        return
    madvise: Any = ctypes.CDLL(None).madvise
    for place, rights in (line.split()[:2] for line in lines if ".so" in line):
        if rights == "r-xp":  # nobody has written there; to what else is read-only the loader may have
            start, end = (int(number, 16) for number in place.split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONTNEED)


def trim() -> None:
    """Hands freed memory back to the system, which the C library would keep for ever."""
    try:
        trim: Any = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another libc
        return
    trim(0)
