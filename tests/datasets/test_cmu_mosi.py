from pathlib import Path

import numpy as np
import pytest

from raysim.data.dataset import DataError
from raysim.datasets.cmu_mosi import CmuMosi

REAL = Path(__file__).parents[2] / "../shared/data/cmu_mosi"
WAY_OUT = (
    "; get cmu_mosi from https://github.com/soujanyaporia/contextual-utterance-level-multimodal-sentiment-analysis "
    "(for research, with citation)"
)
UTTERANCES = "row,split,video_id,label\n0,train,b,0\n1,train,a,1\n2,test,c,1\n"


def features(**changes):
    arrays = {
        "text": np.arange(6.0).reshape(3, 2), "audio": np.ones((3, 1)), "video": np.zeros((3, 4)),
        "label": np.array([0, 1, 1], np.int8), "is_test": np.array([False, False, True]), **changes,
    }  # fmt: skip
    return {k: a for k, a in arrays.items() if a is not None}


def official(root, utterances=UTTERANCES, **changes):
    np.savez(root / "features.npz", **features(**changes))
    (root / "utterances.csv").write_bytes(utterances if isinstance(utterances, bytes) else utterances.encode())
    return root


def index(root):
    return CmuMosi.index(root, CmuMosi.Settings())


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/cmu_mosi beside the repository")
def test_the_real_counts():
    found = index(REAL)
    assert {m: (len(x.items), x.items[0].shape) for m, x in found.media.items()} == {
        "text": (2199, (100,)), "audio": (2199, (73,)), "video": (2199, (100,)),
    }  # fmt: skip
    counts = {s: np.bincount(found.labels[found.split == s]).tolist() for s in ("train", "test")}
    assert counts == {"train": [738, 709], "test": [285, 467]}
    clients = {s: np.unique(found.clients[found.split == s], return_counts=True) for s in counts}
    assert {s: (len(names), sizes.min(), sizes.max()) for s, (names, sizes) in clients.items()} == {
        "train": (62, 9, 55), "test": (31, 9, 63),
    }  # fmt: skip
    assert not set(clients["train"][0]) & set(clients["test"][0])


def test_utterances_in_the_order_of_the_files(tmp_path):
    found = index(official(tmp_path))
    assert (list(found.media), found.classes) == (["text", "audio", "video"], ("negative", "positive"))
    assert [a.tolist() for a in found.media["text"].items] == [[0, 1], [2, 3], [4, 5]]
    assert (found.labels.tolist(), found.labels.dtype) == ([0, 1, 1], np.int64)
    assert found.split.tolist() == ["train", "train", "test"]
    assert found.clients.tolist() == ["b", "a", "c"]


def missing(name):
    return lambda root: (official(root) / name).unlink()


def torn(root):
    path = official(root) / "features.npz"
    path.write_bytes(path.read_bytes()[:100])


MALFORMED = [
    (missing("features.npz"), "ROOT/features.npz does not exist"),
    (missing("utterances.csv"), "ROOT/utterances.csv does not exist"),
    (lambda root: official(root, UTTERANCES + "3,test,c,1\n"),
     "ROOT: features.npz has 3 utterances, utterances.csv 4"),
    (lambda root: official(root, "row,label\n0,0\n"), "ROOT/utterances.csv has no column video_id"),
    (lambda root: official(root, "row,video_id\n0,a\n1\n2,c\n"), "ROOT/utterances.csv:3: no video_id"),
    (lambda root: official(root, b"row,video_id\n0,a\n1,\xe9\n2,c\n"),
     "ROOT/utterances.csv is not in UTF-8: byte 19 is 0xe9"),
    (lambda root: official(root, "row,video_id\n"), "ROOT/utterances.csv has no rows"),
    (torn, "ROOT/features.npz cannot be read: File is not a zip file"),
    (lambda root: official(root, audio=None), "ROOT/features.npz has no 'audio'"),
    (lambda root: official(root, audio=np.array([{}] * 3)),
     "ROOT/features.npz cannot be read: Object arrays cannot be loaded when allow_pickle=False"),
]  # fmt: skip
IDS = ["no features", "no utterances", "unlike", "no column", "short row", "not utf-8", "no rows", "torn", "no key",
       "pickled"]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MALFORMED, ids=IDS)
def test_what_is_malformed_is_one_line(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.replace("ROOT", str(tmp_path)) + WAY_OUT
