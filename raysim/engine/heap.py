"""The memory that a process has and does not use."""

import ctypes
import os
from pathlib import Path
from typing import Any

DONTNEED = 4
"""madvise's word on Linux."""
MAPS = Path("/proc/self/maps")
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD, _ARENA_MAX = -3, -1, -2, -8
_MALLOC = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 1 << 30, _TOP_PAD: 64 << 20}
_VARIABLES = {"MKL_DISABLE_FAST_MM": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
"""MKL keeps 18 MB besides; oneDNN the code for the last 1,024 sizes that it has met, of which a step has dozens."""


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of handing it back: every page costs a fault.

    From call to call it is kept only where these are short. torch's libraries, which have not computed yet, shall keep
    little besides.
    """
    os.environ.update({name: value for name, value in _VARIABLES.items() if name not in os.environ})
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)


def one_arena() -> None:
    """Has threads that are to come take their memory where the first has its own: of other arenas glibc keeps the top.

    Ray's threads have a dozen in the driver, each as large as the largest answer that it has met: 45 MB after eight
    trials.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


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
    malloc_trim = _of_libc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_libc(name: str) -> Any:
    """One of glibc's functions; None where there is another C library."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
