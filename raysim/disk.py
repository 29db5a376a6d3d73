"""Files that are there as a whole or not at all, their checksums, and files that stand for a living process."""

import errno
import fcntl
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>/+)")
"""How one begins; of a path that was made of it, too."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether it names something that is not a path of this machine."""
    return URL.match(os.fspath(path)) is not None


def local(path: str | os.PathLike[str]) -> Path:
    """A path to write to, which is on this machine.

    Raises:
        ValueError: it is a URL.
    """
    text = os.fspath(path)
    if is_url(text):
        raise ValueError(f"{text}: a URL is not written to; name a path of this machine, and copy what comes of it")
    return Path(text)


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


def unpacked(path: Path) -> bytes:
    """A file's content, unpacked where its name ends in .gz.

    Raises:
        OSError: it cannot be read, or is no whole gzip file.
    """
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"no whole gzip file: {error}", str(path)) from error


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


def held(file: IO[str]) -> bool:
    """Whether a process has the lock of an open file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


@contextmanager
def naming(path: Path) -> Generator[None]:
    """An OSError that leaves the block names the file: those of writing do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest(data: bytes | memoryview) -> str:
    """A checksum that notices any change, in 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of(pieces: Iterable[bytes | memoryview]) -> str:
    """The same of what comes piece by piece."""
    found = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


@dataclass(frozen=True)
class Sum:
    """What a file, or the beginning of one, was when it was written."""

    bytes: int
    blake2b: str


def sum_of(data: bytes) -> Sum:
    """The checksum of a file that holds this."""
    return Sum(len(data), digest(data))


def sum_of_file(path: Path) -> Sum:
    """The checksum of a file, read piece by piece."""
    found, size = hashlib.blake2b(digest_size=16), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            found.update(piece)
            size += len(piece)
    return Sum(size, found.hexdigest())


class Lines:
    """The beginning of a file of lines that only grows: its checksum, without reading anything twice."""

    def __init__(self, path: Path) -> None:
        self._path, self._count, self._bytes, self._hash = path, 0, 0, hashlib.blake2b(digest_size=16)

    def first(self, count: int) -> Sum:
        """The checksum of the first lines, at least as many as the last time, once they are on the disk."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
            file.seek(self._bytes)
            for line in islice(file, count - self._count):
                self._hash.update(line)
                self._bytes += len(line)
                self._count += 1
        return Sum(self._bytes, self._hash.hexdigest())

    def read(self, wanted: Sum) -> list[bytes] | None:
        """The lines that have this checksum; None where the file does not begin so."""
        if not self._path.exists():
            return None
        with self._path.open("rb") as file:
            data = file.read(wanted.bytes)
        return data.splitlines() if sum_of(data) == wanted else None
