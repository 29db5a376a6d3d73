import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from digits import write_idx, write_mnist

from raysim import registry
from raysim.data.dataset import DataError
from raysim.data.extraction import here
from raysim.data.idx import mnist
from raysim.data.prepare import prepare
from raysim.datasets.av_mnist import AvMnist
from raysim.features.mfcc import Mfcc
from raysim.features.pixels import Pixels

REAL = Path(__file__).parents[2] / "../shared/data"
WAY_OUT = (
    "; get av_mnist from https://yann.lecun.com/exdb/mnist/ and "
    "https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 3.0 and 4.0)"
)
TAKES = [(d, who, n) for d in range(2) for who in ("ann", "bob") for n in (4, 5, 10)]
"""Take 4 is for testing."""


def wave(digit, who, take):
    """In steps of 16 bits."""
    return (np.arange(1000) % 100 * (digit + 1) + take + (who == "bob")).astype(np.int16)


def official(root, *, archive=False):
    """Two digits by two speakers, three times; MNIST with 40 and 20 pictures."""
    write_mnist(root / "mnist", 40, 20)
    (root / "fsdd" / "recordings").mkdir(parents=True)
    if archive:
        write_archive(root)
    else:
        for digit, who, take in TAKES:
            soundfile.write(root / "fsdd" / "recordings" / f"{digit}_{who}_{take}.wav", wave(digit, who, take), 8000)
        (root / "fsdd" / "recordings" / "notes.wav").write_bytes(b"")
    return root


def write_archive(root, **changes):
    digit, who, take = zip(*TAKES, strict=True)
    arrays = {
        "audio": np.concatenate([wave(*t) for t in TAKES]), "offsets": 1000 * np.arange(len(TAKES) + 1),
        "digit": np.array(digit), "speaker": np.array([w == "bob" for w in who], int), "index": np.array(take),
        "speaker_names": np.array(["ann", "bob"]), **changes,
    }  # fmt: skip
    kept = {k: a for k, a in arrays.items() if a is not None}
    np.savez(root / "fsdd" / "fsdd_8khz_int16.npz", **kept)


def index(root, **settings):
    return AvMnist.index(root, AvMnist.Settings(**settings))


def numbers(found):
    """Which of MNIST's pictures are used."""
    return [int(picture[0, 0]) for picture in found.media["image"].items]


@pytest.fixture(scope="module")
def real():
    if not (REAL / "fsdd").is_dir():
        pytest.skip("needs ../shared/data beside the repository: MNIST and the spoken digits")
    return REAL


def test_the_real_counts(real):
    found = index(real)
    assert (list(found.media), found.classes) == (["image", "audio"], tuple("0123456789"))
    speakers = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    for split, by_class, by_speaker in (("train", 270, 450), ("test", 30, 50)):
        rows = found.split == split
        assert np.bincount(found.labels[rows]).tolist() == [by_class] * 10
        names, counts = np.unique(found.clients[rows], return_counts=True)
        assert (names.tolist(), counts.tolist()) == (speakers, [by_speaker] * 6)
    assert len(set(found.media["audio"].items)) == 3000
    assert found.split.tolist() == ["train"] * 2700 + ["test"] * 300


def test_the_real_pictures_show_the_digit_that_is_spoken(real):
    found = index(real)
    digits = {}
    for part in ("train", "t10k"):
        for picture, label in zip(*mnist(real / "mnist", part), strict=True):
            digits.setdefault(picture.tobytes(), set()).add((part, int(label)))
    parts = {"train": "train", "test": "t10k"}
    for picture, label, split in zip(found.media["image"].items, found.labels, found.split, strict=True):
        assert (parts[str(split)], int(label)) in digits[picture.tobytes()]
    assert len({p.tobytes() for p in found.media["image"].items}) == 3000


@pytest.mark.parametrize("archive", [False, True])
def test_recordings_by_digit_speaker_and_take(tmp_path, archive):
    root = official(tmp_path, archive=archive)
    found = index(root)
    assert found.split.tolist() == ["train"] * 8 + ["test"] * 4
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]
    assert found.clients.tolist() == ["ann", "ann", "bob", "bob"] * 2 + ["ann", "bob"] * 2
    audio = found.media["audio"]
    takes = [(0, "ann", 5), (0, "ann", 10), (0, "bob", 5), (0, "bob", 10), (1, "ann", 5)]
    for item, take in zip(audio.items, takes, strict=False):
        sound = pickle.loads(pickle.dumps(audio.read))(item)
        assert sound.rate == 8000
        assert np.array_equal(sound.wave, wave(*take) / np.float32(32768))


def test_pictures_are_of_the_digit_and_none_is_used_twice(tmp_path):
    found = index(official(tmp_path))
    used = numbers(found)
    assert [n % 10 for n in used] == found.labels.tolist()
    assert sorted(used[:8]) == [0, 1, 10, 11, 20, 21, 30, 31]
    assert set(used[8:]) == {100, 101, 110, 111}
    image = found.media["image"]
    assert np.asarray(image.read(image.items[0])).tolist() == [[used[0]] * 28] * 28


def test_each_recording_may_have_several_pictures(tmp_path):
    root = official(tmp_path)
    found = index(root, images=2)
    assert (len(found), found.labels.tolist()[:8]) == (24, [0] * 8)
    items = found.media["audio"].items
    assert items[0] == items[1] != items[2]
    used = numbers(found)
    assert sorted(used[:8]) == [0, 0, 10, 10, 20, 20, 30, 30]
    assert used[0] != used[1]


@pytest.mark.parametrize("images", [1, 3])
def test_equal_seeds_pair_equally(tmp_path, images):
    root = official(tmp_path)
    pairs = [numbers(index(root, images=images, seed=seed)) for seed in (0, 0, 1)]
    assert pairs[0] == pairs[1] != pairs[2]


def test_a_folder_becomes_a_dataset(tmp_path):
    root = official(tmp_path / "raw")
    made = {"image": Pixels(Pixels.Options(color="grey")), "audio": Mfcc(Mfcc.Options(rate=8000, bands=40))}
    done = prepare(
        AvMnist, root, tmp_path / "cache", settings=AvMnist.Settings(), extractors=made, mapper=here,
        progress=lambda *_: None,
    )  # fmt: skip
    assert (done.samples, done.skipped) == (12, ())
    data = AvMnist(registry.options(AvMnist, {"cache": str(tmp_path / "cache"), "validation": 0.25})).load()
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "image": ("image", (1, 28, 28)), "audio": ("sequence", (11, 20)),
    }  # fmt: skip
    assert [len(s) for s in (data.train, data.validation, data.test)] == [6, 2, 4]
    assert data.client_names == ("ann", "bob")


def no_recordings(root):
    shutil.rmtree(root / "fsdd" / "recordings")


def no_names(root):
    for path in (root / "fsdd" / "recordings").glob("*_*.wav"):
        path.unlink()


def broken_archive(root):
    (root / "fsdd" / "fsdd_8khz_int16.npz").write_bytes(b"PK\3\4 and nothing more")


def no_ones(root):
    write_idx(root / "mnist" / "train-labels-idx1-ubyte", np.zeros(40))


def two_images(root):
    write_idx(root / "mnist" / "train-images-idx3-ubyte", np.zeros((2, 28, 28)))


MALFORMED = [
    (no_recordings, "ROOT/fsdd/recordings does not exist" + WAY_OUT),
    (no_names, "ROOT/fsdd/recordings has no DIGIT_SPEAKER_TAKE.wav" + WAY_OUT),
    (lambda root: shutil.rmtree(root / "mnist"), "ROOT/mnist does not exist" + WAY_OUT),
    (two_images, "ROOT/mnist: train has 2 images of digits and labels of shape (40,); fetch its files again"),
    (no_ones, "ROOT/mnist: train has no picture of the digit 1" + WAY_OUT),
    (broken_archive, "ROOT/fsdd/fsdd_8khz_int16.npz cannot be read: File is not a zip file" + WAY_OUT),
    (lambda root: write_archive(root, digit=None), "ROOT/fsdd/fsdd_8khz_int16.npz has no 'digit'" + WAY_OUT),
    (lambda root: write_archive(root, digit=np.zeros(3)),
     "ROOT/fsdd/fsdd_8khz_int16.npz: 12 recordings, but 3 of 'digit'" + WAY_OUT),
    (lambda root: write_archive(root, digit=np.full(12, 10)),
     "ROOT/fsdd/fsdd_8khz_int16.npz has the digit 10" + WAY_OUT),
    (lambda root: write_archive(root, speaker_names=np.array(["ann"])),
     "ROOT/fsdd/fsdd_8khz_int16.npz has 1 of 'speaker_names', 2 are needed" + WAY_OUT),
]  # fmt: skip
IDS = ["no folder", "no names", "no mnist", "short mnist", "no such digit", "broken archive", "no key", "short key",
       "no digit", "no speaker"]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), MALFORMED, ids=IDS)
def test_what_is_malformed_is_one_line(tmp_path, spoil, message):
    root = official(tmp_path)
    spoil(root)
    with pytest.raises(DataError) as caught:
        index(root)
    assert str(caught.value) == message.replace("ROOT", str(root))
