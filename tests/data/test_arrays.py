import re
from pathlib import Path

import numpy as np
import pytest

from raysim import registry
from raysim.data.dataset import DataError
from raysim.datasets.arrays import Arrays

ROOT = Path(__file__).parents[2]
MOSI = ROOT / "../shared/data/cmu_mosi"


def load(path, **options):
    return Arrays(registry.options(Arrays, {"path": str(path), **options})).load()


def small(**changes):
    """Six samples: two to train on, one to validate, three to test."""
    arrays = {
        "x.text": np.arange(12.0).reshape(6, 2),
        "x.audio": np.arange(36.0).reshape(6, 3, 2),
        "x.image": np.zeros((6, 1, 2, 2), np.uint8),
        "x.words": np.arange(24).reshape(6, 4),
        "y": np.array([0, 1, 2, 0, 1, 2]),
        "split": np.array(["train", "train", "validation", "test", "test", "test"]),
        "client": np.array(["b", "a", "b", "c", "c", "c"]),
        "length.audio": np.array([1, 3, 2, 3, 3, 3]),
    }
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def test_a_file_becomes_a_dataset(tmp_path):
    np.savez(tmp_path / "a.npz", **small())
    data = load(tmp_path / "a.npz")
    assert {m: (s.kind, s.shape, s.vocabulary) for m, s in data.modalities.items()} == {
        "text": ("vector", (2,), None), "audio": ("sequence", (3, 2), None),
        "image": ("image", (1, 2, 2), None), "words": ("tokens", (4,), 24),
    }  # fmt: skip
    assert (data.classes, data.multi_label, data.client_names) == (("0", "1", "2"), False, ("a", "b", "c"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [2, 1, 3]
    assert data.train.inputs["text"].tolist() == [[0, 1], [2, 3]]
    assert data.train.inputs["audio"].tolist() == [[[0, 1], [0, 0], [0, 0]], [[6, 7], [8, 9], [10, 11]]]
    assert data.train.lengths["audio"].tolist() == [1, 3]
    assert data.train.lengths["words"].tolist() == [4, 4]
    assert data.train.clients.tolist() == [1, 0]
    assert (data.train.inputs["text"].dtype, data.train.inputs["image"].dtype) == (np.float32, np.uint8)


def test_a_folder_is_the_same_as_a_file(tmp_path):
    for key, array in small().items():
        np.save(tmp_path / f"{key}.npy", array)
    data = load(tmp_path)
    assert data.test.labels.tolist() == [0, 1, 2]
    assert data.test.inputs["words"][0].tolist() == [12, 13, 14, 15]


def test_several_labels_and_numbered_splits(tmp_path):
    y = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [0, 0], [1, 1]])
    np.savez(tmp_path / "a.npz", **small(y=y, split=np.array([0, 0, 1, 2, 2, 2]), classes=["ill", "old"]))
    data = load(tmp_path / "a.npz")
    assert (data.multi_label, data.classes) == (True, ("ill", "old"))
    assert data.train.labels.tolist() == [[0, 1], [1, 1]]


def test_what_is_absent_may_hold_anything(tmp_path):
    text = np.arange(12.0).reshape(6, 2)
    text[1] = np.nan
    np.savez(tmp_path / "a.npz", **small(**{"x.text": text, "present.text": [1, 0, 1, 1, 1, 1]}))
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.present["text"].tolist() == [True, False]
    assert data.train.presence(("text", "words")).tolist() == [[True, True], [False, True]]
    assert np.isfinite(data.train.inputs["text"][0]).all()


def test_steps_after_the_end_are_zeros_whatever_they_held(tmp_path):
    audio = np.arange(36.0).reshape(6, 3, 2)
    audio[0, 1:] = np.nan
    np.savez(tmp_path / "a.npz", **small(**{"x.audio": audio}))
    assert load(tmp_path / "a.npz").train.inputs["audio"][0].tolist() == [[0, 1], [0, 0], [0, 0]]


def test_scores_are_standard_over_the_training_samples_valid_steps(tmp_path):
    np.savez(tmp_path / "a.npz", **small())
    data = load(tmp_path / "a.npz", standardize=True)
    assert data.train.inputs["text"].tolist() == [[-1, -1], [1, 1]]
    assert data.validation.inputs["text"].tolist() == [[3, 3]]
    valid = np.concatenate([data.train.inputs["audio"][0, :1], data.train.inputs["audio"][1]])
    assert valid.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert valid.std(axis=0) == pytest.approx([1, 1], abs=1e-6)
    assert data.train.inputs["audio"][0, 1:].tolist() == [[0, 0], [0, 0]]


def test_validation_samples_are_held_out_where_there_are_none(tmp_path):
    split = np.array(["train"] * 20 + ["test"] * 4)
    arrays = {"x.a": np.arange(24.0)[:, None], "y": np.zeros(24, int), "split": split}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz", validation=0.2)
    rows = [s.inputs["a"][:, 0].tolist() for s in (data.train, data.validation)]
    assert len(rows[1]) == 4
    assert sorted(rows[0] + rows[1]) == list(range(20))
    assert rows == [
        s.inputs["a"][:, 0].tolist() for s in (load(tmp_path / "a.npz", validation=0.2).train, data.validation)
    ]


MALFORMED = [
    (small(y=None), "has no 'y'; there are: "),
    (small(split=None), "has no 'split'; there are: "),
    ({"y": np.zeros(2, int), "split": np.array([0, 2])}, "has no modality; name one x.<modality>"),
    (small(y=np.array([0, 1])), "'x.text' has shape (6, 2), but y has 2 rows"),
    (small(**{"x.text": np.float32(1)}), "'x.text' has shape (), but y has 6 rows"),
    (small(**{"x.text": np.zeros((6, 2, 2, 2, 2))}), "'x.text' is float64 of shape (6, 2, 2, 2, 2); write floats"),
    (small(**{"x.text": np.array(["a"] * 6)}), "'x.text' is <U1 of shape (6,); write floats"),
    (small(**{"x.text": np.zeros((6, 0))}), "'x.text' has shape (6, 0), which is empty"),
    (small(**{"x.text": np.full((6, 2), np.inf)}), "'x.text' is not finite in 6 samples that have it, first in row 0"),
    (small(**{"x.words": np.full((6, 4), -1)}), "'x.words' has the token -1; tokens count from 0"),
    (small(**{"length.audio": np.array([1, 4, 1, 1, 1, 1])}), "'length.audio' is 4 in row 1; it must be 1 to 3"),
    (small(**{"length.audio": np.zeros(6)}), "'length.audio' is float64 of shape (6,); write integers (N,)"),
    (small(**{"length.adio": np.ones(6, int)}), "'length.adio' belongs to no modality; did you mean 'audio'?"),
    (small(**{"present.text": np.full(6, 2)}), "'present.text' is int64 of shape (6,); write booleans (N,)"),
    (small(labels=np.zeros(6)), "'labels' is not a known key; there are: y, split, client, classes, x.text"),
    (small(clients=np.zeros(6)), "'clients' is not a known key; did you mean 'client'?"),
    (small(y=np.array([0, 1, 2, -1, 1, 2])), "'y' has the class -1 in row 3; classes count from 0"),
    (small(y=np.zeros(6)), "'y' is float64 of shape (6,); write integers (N,), or 0 and 1 (N, C)"),
    (small(y=np.full((6, 2), 3)), "'y' has values other than 0 and 1"),
    (small(classes=np.array(["a"])), "'classes' names 1 classes, y has 3; name them all"),
    (small(split=np.array(["train"] * 5 + ["tset"])), "'split' has the value 'tset'; write train, validation, test"),
    (small(split=np.array(["train"] * 6)), "'split' leaves no test sample; every split needs some"),
    (small(split=np.zeros(6)), "'split' is float64 of shape (6,); write train"),
    (small(client=np.zeros((6, 2), int)), "'client' is int64 of shape (6, 2); write integers or strings (N,)"),
]


@pytest.mark.parametrize(("arrays", "message"), MALFORMED, ids=[m[:40] for _, m in MALFORMED])
def test_what_is_malformed_is_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "a.npz")
    assert message in str(caught.value)
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_one_line(tmp_path):
    np.savez(tmp_path / "good.npz", **small())
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", y=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("no array")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    for name, message in {
        "nothing.npz": "does not exist; dataset.path is relative to the folder you run in",
        "one.npy": "is a single array; give an .npz",
        "pickled.npz": "cannot be read: Object arrays cannot be loaded",
        "text.npz": "cannot be read: ",
        "torn.npz": "cannot be read: ",
        "empty": "holds no arrays; it needs x.<modality>, y and split",
    }.items():
        with pytest.raises(DataError) as caught:
            load(tmp_path / name)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not MOSI.exists(), reason="needs the CMU-MOSI features in ../shared/data/cmu_mosi")
def test_the_readmes_ten_lines_convert_cmu_mosi(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(import csv.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "cmu_mosi").symlink_to(MOSI.resolve())
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    data = load("mosi.npz", standardize=True)
    assert {m: s.shape for m, s in data.modalities.items()} == {"text": (100,), "audio": (73,), "video": (100,)}
    assert [len(s) for s in (data.train, data.validation, data.test)] == [1230, 217, 752]
    assert len(data.client_names) == 93
    assert len(np.unique(np.concatenate([data.train.clients, data.validation.clients]))) == 62
    assert len(np.unique(data.test.clients)) == 31
    assert np.bincount(data.test.labels).max() / 752 == pytest.approx(0.621, abs=5e-4)
