import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from digits import write_idx, write_mnist
from PIL import Image

from raysim import registry
from raysim.data.dataset import DataError
from raysim.data.extraction import here
from raysim.data.media import image
from raysim.data.prepare import prepare
from raysim.datasets.polymnist import Composer, Polymnist
from raysim.features.pixels import Pixels

REAL = Path(__file__).parents[2] / "../shared/data"
WAY_OUT = "; get polymnist from https://zenodo.org/records/4899160 (PolyMNIST.zip) (CC BY 4.0)"


def official(root, modalities=5, folder="MMNIST"):
    """Tuples of pictures of one grey level: 10 * number + modality, and 100 more in the test split."""
    for split, names in (("train", ("0.7.png", "2.1.png", "10.7.png")), ("test", ("0.3.png", "1.9.png"))):
        for m in range(modalities):
            (root / folder / split / f"m{m}").mkdir(parents=True)
            for name in names:
                level = 10 * int(name.partition(".")[0]) + m + 100 * (split == "test")
                Image.new("RGB", (28, 28), (level,) * 3).save(root / folder / split / f"m{m}" / name)
    return root


def parts(root, photos=2, train=40, test=20, size=(64, 48)):
    """What it is made from: small MNIST, and photographs of noise."""
    write_mnist(root / "mnist", train, test)
    (root / "polymnist_backgrounds").mkdir()
    rng = np.random.default_rng(0)
    for i in range(photos):
        pixels = rng.integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "polymnist_backgrounds" / f"{i}.jpg")
    return root


def index(root, modalities=2, **settings):
    return Polymnist.index(root, Polymnist.Settings(modalities=modalities, **settings))


def rows(found, modality):
    """Which of MNIST's pictures, training ones first."""
    return [item[0] for item in found.media[modality].items]


@pytest.mark.skipif(not (REAL / "polymnist_backgrounds").is_dir(), reason="needs ../shared/data: MNIST, photographs")
def test_the_real_counts():
    found = index(REAL.resolve(), modalities=5)
    counts = {s: np.bincount(found.labels[found.split == s]).tolist() for s in ("train", "test")}
    assert counts == {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    assert found.clients is None
    assert found.split.tolist() == ["train"] * 60_000 + ["test"] * 10_000
    for m in range(5):
        assert sorted(rows(found, f"m{m}")) == list(range(70_000))
    picture = found.media["m4"].read(found.media["m4"].items[0])
    assert (picture.size, picture.mode) == ((28, 28), "RGB")


@pytest.mark.parametrize("folder", ["MMNIST", "PolyMNIST/MMNIST", "."])
def test_the_official_folders_by_number(tmp_path, folder):
    found = index(official(tmp_path, folder=folder), modalities=5)
    assert list(found.media) == ["m0", "m1", "m2", "m3", "m4"]
    assert found.labels.tolist() == [7, 1, 7, 3, 9]
    assert found.split.tolist() == ["train", "train", "train", "test", "test"]
    medium = found.media["m3"]
    assert [medium.read(item).getpixel((5, 5))[0] for item in medium.items] == [3, 23, 103, 103, 113]


def test_the_official_folders_come_before_what_can_be_made(tmp_path):
    found = index(official(parts(tmp_path)))
    assert (list(found.media), len(found)) == (["m0", "m1"], 5)


def test_a_tuple_shares_the_digit(tmp_path):
    found = index(parts(tmp_path, photos=5), modalities=5)
    assert list(found.media) == ["m0", "m1", "m2", "m3", "m4"]
    assert found.split.tolist() == ["train"] * 40 + ["test"] * 20
    assert np.bincount(found.labels[:40]).tolist() == [4] * 10
    for m in found.media:
        assert [row % 10 for row in rows(found, m)] == found.labels.tolist()


def test_every_picture_of_a_digit_is_used_once_in_each_modality(tmp_path):
    found = index(parts(tmp_path))
    for m in found.media:
        assert sorted(rows(found, m)[:40]) == list(range(40))
        assert sorted(rows(found, m)[40:]) == list(range(40, 60))
    assert rows(found, "m0") != rows(found, "m1")
    assert found.labels.tolist() != sorted(found.labels)


def test_crops_lie_inside_the_photograph(tmp_path):
    found = index(parts(tmp_path, size=(30, 40)))
    _, left, top = np.array(found.media["m0"].items).T
    assert (left.min(), left.max(), top.min(), top.max()) == (0, 11, 0, 1)


def test_equal_seeds_give_equal_tuples_and_more_modalities_change_none(tmp_path):
    root = parts(tmp_path, photos=3)
    first, again, wider, other = (index(root), index(root), index(root, modalities=3), index(root, seed=1))
    assert first.labels.tolist() == again.labels.tolist() == wider.labels.tolist() != other.labels.tolist()
    for m in ("m0", "m1"):
        assert first.media[m].items == again.media[m].items == wider.media[m].items != other.media[m].items


def test_the_first_photographs_by_name_are_taken(tmp_path):
    root = parts(tmp_path, photos=3)
    found = index(root)
    for m in range(2):
        photo = np.asarray(image(root / "polymnist_backgrounds" / f"{m}.jpg"))
        assert np.array_equal(found.media[f"m{m}"].read.photo, photo)


def test_a_digit_inverts_the_colours_of_the_crop():
    """Where its pixels are above 128; the crop begins at column 3 and row 1."""
    digits = np.zeros((2, 28, 28), np.uint8)
    digits[1, 0, :3] = (128, 129, 255)
    photo = (np.arange(30 * 40 * 3) % 251).astype(np.uint8).reshape(30, 40, 3)
    picture = np.asarray(pickle.loads(pickle.dumps(Composer(digits, photo)))((1, 3, 1)))
    crop = photo[1:29, 3:31]
    assert picture[0, :4].tolist() == [
        crop[0, 0].tolist(), (255 - crop[0, 1]).tolist(), (255 - crop[0, 2]).tolist(), crop[0, 3].tolist(),
    ]  # fmt: skip
    assert np.array_equal(picture[1:], crop[1:])


def test_a_folder_becomes_a_dataset(tmp_path):
    root = parts(tmp_path / "raw")
    made = {f"m{m}": Pixels(Pixels.Options()) for m in range(5)}
    done = prepare(
        Polymnist, root, tmp_path / "cache", settings=Polymnist.Settings(modalities=2), extractors=made, mapper=here,
        progress=lambda *_: None,
    )  # fmt: skip
    assert (done.samples, done.skipped) == (60, ())
    data = Polymnist(registry.options(Polymnist, {"cache": str(tmp_path / "cache"), "validation": 0.25})).load()
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "m0": ("image", (3, 28, 28)), "m1": ("image", (3, 28, 28)),
    }  # fmt: skip
    assert [len(s) for s in (data.train, data.validation, data.test)] == [30, 10, 20]


def no_test(root):
    shutil.rmtree(official(root) / "MMNIST" / "test")


def odd_name(name):
    def make(root):
        (official(root) / "MMNIST" / "train" / "m0" / name).write_bytes(b"")

    return make


def emptied(root):
    for path in (official(root) / "MMNIST" / "test" / "m0").iterdir():
        path.unlink()


def broken_photo(root):
    (parts(root) / "polymnist_backgrounds" / "1.jpg").write_bytes(b"no picture")


MALFORMED = [
    (lambda root: None, "ROOT has neither MMNIST/train/m0 nor mnist"),
    (no_test, "ROOT/MMNIST/test/m0 does not exist"),
    (emptied, "ROOT/MMNIST/test/m0 has no NUMBER.DIGIT.png"),
    (odd_name("a.7.png"), "ROOT/MMNIST/train/m0/a.7.png is not named NUMBER.DIGIT.png"),
    (odd_name("7.10.png"), "ROOT/MMNIST/train/m0/7.10.png is not named NUMBER.DIGIT.png"),
    (lambda root: shutil.rmtree(parts(root) / "polymnist_backgrounds"), "ROOT/polymnist_backgrounds does not exist"),
    (lambda root: parts(root, photos=1), "ROOT/polymnist_backgrounds has 1 .jpg files, 2 are needed"),
    (lambda root: parts(root, size=(28, 99)),
     "ROOT/polymnist_backgrounds/0.jpg has 99 x 28 pixels, more than 28 x 28 are needed"),
    (broken_photo, "ROOT/polymnist_backgrounds/1.jpg: no readable image: "),
]  # fmt: skip
IDS = ["nothing", "no test", "no pictures", "no number", "no digit", "no photos", "one photo", "small photo",
       "broken photo"]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MALFORMED, ids=IDS)
def test_what_is_malformed_is_one_line(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value).startswith(message.replace("ROOT", str(tmp_path)))
    assert str(caught.value).endswith(WAY_OUT)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_mnist_is_one_line(tmp_path):
    root = parts(tmp_path)
    (root / "mnist" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError) as caught:
        index(root)
    assert str(caught.value).startswith(f"{root}/mnist/train-labels-idx1-ubyte.gz does not exist; get MNIST's four")


def test_labels_that_fit_no_pictures_are_one_line(tmp_path):
    root = parts(tmp_path)
    write_idx(root / "mnist" / "t10k-labels-idx1-ubyte", [1, 2])
    with pytest.raises(DataError) as caught:
        index(root)
    assert str(caught.value) == (
        f"{root}/mnist: t10k has 20 images of digits and labels of shape (2,); fetch its files again"
    )
