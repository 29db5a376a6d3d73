"""The memory that the C library keeps after it was freed."""

import ctypes
from typing import Any


def give_back() -> None:
    """Hands freed memory back to the system: what one trial, or reading data, took is not kept for ever."""
    try:
        trim: Any = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another libc
        return
    trim(0)
