"""Files that are there as a whole or not at all, and files that stand for a living process."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write(path: Path, data: bytes) -> None:
    """Replaces a file as a whole, on the disk: readers and crashes see the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    aside = path.with_name(f".{path.name}.tmp")
    with naming(path):
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def settle(folder: Path) -> None:
    """Brings a folder's own list of files to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hold(path: Path) -> IO[str] | None:
    """Locks a file, made if need be, for this process; None where another process has it.

    The system lets go of it when the file is closed or the process ends, however that happens.

    Raises:
        OSError: it cannot be opened.
    """
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def naming(path: Path) -> Generator[None]:
    """An OSError that leaves the block names the file: those of writing do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
