"""Small files in MNIST's own format."""

import struct

import numpy as np


def write_idx(path, array):
    array = np.asarray(array, np.uint8)
    path.write_bytes(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def write_mnist(folder, train, test):
    """Two parts of so many pictures: number i is of digit i % 10 and i everywhere; test counts from 100."""
    folder.mkdir(parents=True)
    for part, numbers in (("train", np.arange(train)), ("t10k", 100 + np.arange(test))):
        write_idx(folder / f"{part}-images-idx3-ubyte", np.broadcast_to(numbers[:, None, None], (len(numbers), 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte", numbers % 10)
