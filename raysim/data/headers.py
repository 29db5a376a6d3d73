"""Arrays on disk, read in two steps: their headers, which tell most mistakes, and then their values.

Shapes: N samples.
"""

import tokenize
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from raysim.data.dataset import Array, DataError
from raysim.data.mapped import File, Mapped
from raysim.data.unpacked import LARGE_BYTES, unpacked

UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, tokenize.TokenError)
"""What numpy raises on files that are damaged or no arrays."""
_OBJECTS: Mapping[str, str] = {
    "y": "integers: numpy.asarray(y, dtype=numpy.int64), or of text: classes, y = numpy.unique(y, return_inverse=True)",
    "split": "text: numpy.asarray(split, dtype=str)",
    "client": "text: numpy.asarray(client, dtype=str)",
    "classes": "text: numpy.asarray(classes, dtype=str)",
    "codec": "text: numpy.array(tokenizer.to_str())",
    "present": "booleans: numpy.asarray(present, dtype=bool)",
    "length": "integers: numpy.asarray(length, dtype=numpy.int64)",
    "span": "integers: numpy.asarray(span, dtype=numpy.int64)",
}
"""What to write instead of an array of Python objects, by the key before its dot."""


@dataclass(frozen=True)
class Header:
    """What an array is, without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """What its values take."""
        return prod(self.shape) * self.dtype.itemsize


def headers(path: Path, needs: str = "x.<modality>, y and split") -> dict[str, Header]:
    """Each array's header by key, from an `.npz` or a folder of `.npy` files, which must hold some.

    Raises:
        DataError: the file or an array in it cannot be read without running code that it holds; names it.
    """
    if not path.exists():
        where = "correct the path" if path.is_absolute() else "the path is relative to the folder you run in"
        raise DataError(f"{path} does not exist; {where}")
    if path.is_file() and path.suffix == ".npy":
        raise DataError(f"{path} is a single array; give an .npz, or the folder of .npy files")
    with _readable(path):
        found = _of_folder(path) if path.is_dir() else _of_archive(path)
    if not found:
        raise DataError(f"{path} holds no arrays; it needs {needs}")
    for key, header in found.items():
        if header.dtype.hasobject:
            _refuse_objects(path, key, header)
    return found


def loaded(path: Path, needs: str = "x.<modality>, y and split") -> dict[str, Array]:
    """All arrays by key; text of bytes becomes text.

    Raises:
        DataError: as `headers` does, or bytes are no text.
    """
    headers(path, needs)
    with _readable(path):
        if path.is_dir():
            found: dict[str, Array] = {p.stem: np.load(p, allow_pickle=False) for p in sorted(path.glob("*.npy"))}
        else:
            with np.load(path, allow_pickle=False) as archive:
                found = {key: archive[key] for key in archive.files}
    return {key: _text(path, key, array) for key, array in found.items()}


def array(path: Path, key: str, needs: str = "x.<modality>, y and split") -> Array:
    """One array; an empty one where there is none of that key.

    Raises:
        DataError: as `headers` does.
    """
    if key not in headers(path, needs):
        return np.zeros(0)
    with _readable(path):
        if path.is_dir():
            return np.load(path / f"{key}.npy", allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]


def opened(path: Path) -> tuple[dict[str, Array], dict[str, Array | Mapped]]:
    """All arrays by key, those of samples (`x.<modality>`) apart: these stay in the files of a folder.

    An archive is read as a whole, or unpacked into such a folder, once, if it is large and its keys may name files.

    Raises:
        DataError: as `loaded` does, or there is no room for the unpacked archive.
    """
    found, folder = headers(path), path
    safe = not any(mark in key for key in found for mark in "/\\")  # as names of files
    if path.is_file() and safe and sum(header.bytes for header in found.values()) >= LARGE_BYTES:
        with _readable(path):
            folder = unpacked(path)
    arrays, samples = dict[str, Array](), dict[str, Array | Mapped]()
    if folder.is_dir():
        with _readable(path):
            for key in found:
                file = File.of(folder / f"{key}.npy") if key.startswith("x.") else None
                if file is None:
                    arrays[key] = _text(path, key, np.load(folder / f"{key}.npy", allow_pickle=False))
                else:
                    samples[key] = Mapped(file, np.dtype(file.dtype))
    else:
        arrays = loaded(path)
    names = [key for key in sorted(found) if key.startswith("x.")]  # however they are stored: it decides bits
    return arrays, {key: arrays.pop(key) if key in arrays else samples[key] for key in names}


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """What numpy raises on files that are damaged, or none of its own, becomes one line."""
    try:
        yield
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; write it with numpy.savez") from error


def _of_folder(path: Path) -> dict[str, Header]:
    found: dict[str, Header] = {}
    for file in sorted(path.glob("*.npy")):
        with file.open("rb") as stream:
            found[file.stem] = _header(stream)
    return found


def _of_archive(path: Path) -> dict[str, Header]:
    found: dict[str, Header] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                found[member.removesuffix(".npy")] = _header(stream)
    return found


def _header(stream: IO[bytes]) -> Header:
    format_: Any = np.lib.format
    first = format_.read_magic(stream) == (1, 0)
    shape, _, dtype = (format_.read_array_header_1_0 if first else format_.read_array_header_2_0)(stream)
    return Header(shape, dtype)


def _refuse_objects(path: Path, key: str, header: Header) -> NoReturn:
    prefix, _, name = key.partition(".")
    if prefix == "x" and len(header.shape) == 1:
        wanted = (
            f"rows of unlike lengths: pad them and give length.{name}, or write x.{name} = numpy.concatenate(rows) and "
            f"span.{name}"
        )
    elif prefix == "x":
        wanted = f"numbers: x.{name}.astype('float32')"
    else:
        wanted = _OBJECTS.get(prefix, "it as numbers or text, as key=array of numpy.savez")
    raise DataError(f"{path}: '{key}' is an array of Python objects of shape {header.shape}; write {wanted}")


def _text(path: Path, key: str, array: Array) -> Array:
    """Bytes become text; all else stays."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: '{key}' is no UTF-8 text; write {key} = numpy.char.decode({key}, 'latin-1')"
        ) from error
