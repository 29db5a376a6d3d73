import gzip
import struct

import numpy as np
import pytest
from digits import write_idx, write_mnist

from raysim.data.dataset import DataError
from raysim.data.idx import mnist, read_idx

GOOD = b"\0\0\x08\x02" + struct.pack(">2I", 2, 3) + bytes(range(6))


@pytest.mark.parametrize(("name", "content"), [("a", GOOD), ("a.gz", gzip.compress(GOOD, mtime=0))])
def test_bytes_with_their_dimensions(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = read_idx(tmp_path / name)
    assert (found.tolist(), found.dtype) == ([[0, 1, 2], [3, 4, 5]], np.uint8)


def test_no_values(tmp_path):
    write_idx(tmp_path / "a", np.zeros((0, 28, 28)))
    assert read_idx(tmp_path / "a").shape == (0, 28, 28)


PACKED = gzip.compress(GOOD, mtime=0)
MALFORMED = [
    ("a", b"", "is no idx file of unsigned bytes"),
    ("a", b"<html>", "is no idx file of unsigned bytes"),
    ("a", b"\0\0\x0d\x01" + bytes(8), "is no idx file of unsigned bytes"),
    ("a", GOOD[:6], "is no idx file of unsigned bytes"),
    ("a", GOOD[:-1], "has 5 values, its header says (2, 3)"),
    ("a", GOOD + b"\0", "has 7 values, its header says (2, 3)"),
    ("a.gz", GOOD, "cannot be read: "),
    ("a.gz", PACKED[:-9], "cannot be read: "),
    ("a.gz", PACKED[:12] + bytes([PACKED[12] ^ 255]) + PACKED[13:], "cannot be read: "),
    ("a.gz", PACKED[:-8] + bytes(8), "cannot be read: "),
    ("a.gz", b"", "is no idx file of unsigned bytes"),
    ("a", None, "cannot be read: "),
]
IDS = ["empty", "html", "floats", "torn header", "too short", "too long", "not packed", "torn archive", "broken",
       "wrong checksum", "empty archive", "missing"]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED, ids=IDS)
def test_what_is_malformed_is_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path} {message}")
    assert str(caught.value).endswith("; fetch it again")
    assert "\n" not in str(caught.value)


def test_images_and_labels(tmp_path):
    write_mnist(tmp_path / "mnist", 12, 3)
    images, labels = mnist(tmp_path / "mnist", "train")
    assert (images.shape, images[11, 0, 0], labels.tolist()) == ((12, 28, 28), 11, [*range(10), 0, 1])
    images, labels = mnist(tmp_path / "mnist", "t10k")
    assert (images[:, 5, 5].tolist(), labels.tolist(), labels.dtype) == ([100, 101, 102], [0, 1, 2], np.int64)


def test_a_packed_file_comes_before_an_unpacked_one(tmp_path):
    write_mnist(tmp_path / "mnist", 2, 2)
    plain = tmp_path / "mnist" / "train-labels-idx1-ubyte"
    write_idx(tmp_path / "other", [7, 7])
    (tmp_path / "mnist" / f"{plain.name}.gz").write_bytes(gzip.compress((tmp_path / "other").read_bytes()))
    assert mnist(tmp_path / "mnist", "train")[1].tolist() == [7, 7]


def test_a_missing_file_is_one_line(tmp_path):
    write_mnist(tmp_path / "mnist", 2, 2)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError) as caught:
        mnist(tmp_path / "mnist", "t10k")
    assert str(caught.value) == (
        f"{tmp_path}/mnist/t10k-labels-idx1-ubyte.gz does not exist; "
        "get MNIST's four files from https://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0)"
    )


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((3, 20, 20)), "images of shape (3, 20, 20), not (N, 28, 28)"),
        ("train-labels-idx1-ubyte", np.zeros((2, 1)), "2 images of digits and labels of shape (2, 1)"),
        ("train-labels-idx1-ubyte", [1, 2, 3], "2 images of digits and labels of shape (3,)"),
        ("train-labels-idx1-ubyte", [1, 10], "the label 10"),
    ],
    ids=["size", "dimensions", "count", "class"],
)
def test_files_that_are_not_mnists_are_one_line(tmp_path, file, array, message):
    write_mnist(tmp_path / "mnist", 2, 2)
    write_idx(tmp_path / "mnist" / file, array)
    with pytest.raises(DataError) as caught:
        mnist(tmp_path / "mnist", "train")
    assert str(caught.value) == f"{tmp_path}/mnist: train has {message}; fetch its files again"
