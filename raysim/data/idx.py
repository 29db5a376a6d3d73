"""Files of MNIST's own format, gzipped or not."""

import struct
from pathlib import Path

import numpy as np

from raysim.data.dataset import Array, DataError
from raysim.disk import unpacked

HOME, TERMS = "https://yann.lecun.com/exdb/mnist/", "CC BY-SA 3.0"


def read_idx(path: Path) -> Array:
    """The unsigned bytes in a file, with its dimensions.

    Raises:
        DataError: the file is no such file, or truncated.
    """
    try:
        data = unpacked(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; fetch it again") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(f"{path} is no idx file of unsigned bytes; fetch it again")
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    values = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * data[3])
    if values.size != np.prod(shape):
        raise DataError(f"{path} has {values.size} values, its header says {shape}; fetch it again")
    return values.reshape(shape)


def mnist(folder: Path, part: str) -> tuple[Array, Array]:
    """Images (N, 28, 28) and labels (N,) of MNIST.

    Args:
        folder: with the four files of the official distribution.
        part: `train` or `t10k`.

    Raises:
        DataError: a file is missing or malformed.
    """
    names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    images, labels = (read_idx(_either(folder, name)) for name in names)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{folder}: {part} has images of shape {images.shape}, not (N, 28, 28); fetch its files again")
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: {part} has {len(images)} images of digits and labels of shape {labels.shape}; "
            "fetch its files again"
        )
    if labels.max(initial=0) > 9:
        raise DataError(f"{folder}: {part} has the label {labels.max()}; fetch its files again")
    return images, labels.astype(np.int64)


def _either(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(f"{folder / name}.gz does not exist; get MNIST's four files from {HOME} ({TERMS})")
