import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from raysim import registry
from raysim.data.dataset import DataError
from raysim.data.extraction import here
from raysim.data.media import Unreadable
from raysim.data.prepare import prepare
from raysim.datasets.utd_mhad import ACTIONS, UtdMhad, accelerometer, depth, gyroscope, skeleton
from raysim.features.keep import Keep

REAL = Path(__file__).parents[2] / "../shared/data/utd_mhad"
WAY_OUT = "; get utd_mhad from https://personal.utdallas.edu/~kehtar/UTD-MHAD.html (for research, with citation)"
KEYS = [(1, 1, 1), (1, 1, 4), (2, 1, 2), (10, 2, 3), (27, 10, 4)]
"""Action, subject and trial, in their order."""
NAMES = ("accelerometer", "gyroscope", "skeleton", "depth")


def inertial(number):
    return np.arange(6 * (3 + number)).reshape(-1, 6) + 100.0 * number


def joints(number):
    return np.arange(20 * 3 * (2 + number)).reshape(20, 3, -1) / 10


def frames(number):
    return np.full((240, 320, 18), 160 * (number + 1), np.uint16)


def official(root):
    for kind, key, made in (
        ("Inertial", "d_iner", inertial),
        ("Skeleton", "d_skel", joints),
        ("Depth", "d_depth", frames),
    ):
        (root / kind).mkdir(parents=True)
        for number, (a, s, t) in enumerate(KEYS):
            savemat(root / kind / f"a{a}_s{s}_t{t}_{kind.lower()}.mat", {key: made(number)}, do_compression=True)
    (root / "Inertial" / "README.mat").write_bytes(b"")
    return root


def repacked(root, **changes):
    """The same in three files."""
    keys = np.array(KEYS)
    tables = {
        "inertial": {"data": np.concatenate([inertial(i) for i in range(5)]),
                     "offsets": np.cumsum([0, *(3 + i for i in range(5))]),
                     "action": keys[:, 0], "subject": keys[:, 1], "trial": keys[:, 2]},
        "skeleton": {"data": np.concatenate([joints(i).transpose(2, 0, 1) for i in range(5)]),
                     "offsets": np.cumsum([0, *(2 + i for i in range(5))])},
        "depth_16x60x80_u8": {"data": np.stack([np.full((16, 60, 80), 10 * (i + 1), np.uint8) for i in range(5)])},
    }  # fmt: skip
    for name, arrays in tables.items():
        made = {**arrays, **changes.get(name.partition("_")[0], {})}
        np.savez(root / f"{name}.npz", **{k: a for k, a in made.items() if a is not None})
    return root


def index(root):
    return UtdMhad.index(root, UtdMhad.Settings())


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/utd_mhad beside the repository")
def test_the_real_counts():
    found = index(REAL)
    counts = {s: np.bincount(found.labels[found.split == s]).tolist() for s in ("train", "test")}
    assert counts == {"train": [24] * 27, "test": [8] * 7 + [7] + [8] * 14 + [7] + [8] * 3 + [7]}
    clients = {s: np.unique(found.clients[found.split == s], return_counts=True) for s in counts}
    assert {s: (names.tolist(), sizes.tolist()) for s, (names, sizes) in clients.items()} == {
        "train": ([f"s{i}" for i in range(1, 9)], [81] * 8),
        "test": ([f"s{i}" for i in range(1, 9)], [26, 27, 27, 27, 27, 26, 27, 26]),
    }
    steps = {m: [len(a) for a in found.media[m].items] for m in NAMES}
    assert {m: (len(n), min(n), max(n), sum(n)) for m, n in steps.items()} == {
        "accelerometer": (861, 107, 326, 155638), "gyroscope": (861, 107, 326, 155638),
        "skeleton": (861, 41, 125, 58299), "depth": (861, 16, 16, 13776),
    }  # fmt: skip
    assert {m: found.media[m].items[0].shape[1:] for m in NAMES} == {
        "accelerometer": (3,), "gyroscope": (3,), "skeleton": (60,), "depth": (60, 80),
    }  # fmt: skip


def test_there_are_27_actions():
    assert (len(ACTIONS), len(set(ACTIONS)), ACTIONS[0], ACTIONS[26]) == (27, 27, "swipe left", "squat")


@pytest.mark.parametrize("make", [official, repacked])
def test_recordings_by_action_subject_and_trial(tmp_path, make):
    found = index(make(tmp_path))
    assert (tuple(found.media), found.classes) == (NAMES, ACTIONS)
    assert found.labels.tolist() == [0, 0, 1, 9, 26]
    assert found.split.tolist() == ["train", "test", "train", "train", "test"]
    assert found.clients.tolist() == ["s1", "s1", "s1", "s2", "s10"]
    media = {m: [pickle.loads(pickle.dumps(x.read))(item) for item in x.items] for m, x in found.media.items()}
    for number in range(5):
        assert np.array_equal(media["accelerometer"][number], inertial(number)[:, :3])
        assert np.array_equal(media["gyroscope"][number], inertial(number)[:, 3:])
        assert np.array_equal(media["skeleton"][number][1], joints(number)[:, :, 1].flatten())
        assert media["depth"][number].shape == (16, 60, 80)
        assert np.all(media["depth"][number] == 10 * (number + 1))


def test_the_depth_of_a_block_is_the_mean_of_what_it_sees(tmp_path):
    """Millimetres in units of 16; fewer than 8 of 16 pixels are background; 255 is the most."""
    picture = np.zeros((240, 320, 1), np.uint16)
    picture[:4, :4] = 1600
    picture[:2, 4:8], picture[2, 4:8] = 800, 1600  # 12 of 16, mean 3200 / 3
    picture[:2, 8:12] = 320  # 8 of 16
    picture[:2, 12:15] = 320  # 6 of 16
    picture[236:, 316:] = 5000
    picture[236:, 312:316] = 24  # 1.5, to the even number
    savemat(tmp_path / "a.mat", {"d_depth": picture})
    found = depth(tmp_path / "a.mat")
    assert (found.shape, found.dtype) == ((16, 60, 80), np.uint8)
    assert found[0, 0, :5].tolist() == [100, 67, 20, 0, 0]
    assert found[0, 59, 78:].tolist() == [2, 255]
    assert np.all(found == found[0])


def test_sixteen_evenly_spaced_frames_are_kept(tmp_path):
    for count, kept in ((31, range(0, 31, 2)), (16, range(16)), (4, [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3])):
        video = np.broadcast_to(16 * (1 + np.arange(count, dtype=np.uint16)), (240, 320, count))
        savemat(tmp_path / "a.mat", {"d_depth": video})
        assert (depth(tmp_path / "a.mat")[:, 30, 40] - 1).tolist() == list(kept)


def test_a_folder_becomes_a_dataset(tmp_path):
    """The missing depth recording is skipped, and its sample with it."""
    root = official(tmp_path / "raw")
    (root / "Depth" / "a2_s1_t2_depth.mat").unlink()
    made = {m: Keep(Keep.Options()) for m in NAMES}
    done = prepare(
        UtdMhad, root, tmp_path / "cache", settings=UtdMhad.Settings(), extractors=made, mapper=here,
        progress=lambda *_: None,
    )  # fmt: skip
    assert done.samples == 4
    assert [line.rpartition(": ")[0] for line in done.skipped] == [f"depth: {root / 'Depth' / 'a2_s1_t2_depth.mat'}"]
    options = {"cache": str(tmp_path / "cache"), "validation": 0.5, "standardize": False}
    data = UtdMhad(registry.options(UtdMhad, options)).load()
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "accelerometer": ("sequence", (7, 3)), "gyroscope": ("sequence", (7, 3)), "skeleton": ("sequence", (6, 60)),
        "depth": ("image", (16, 60, 80)),
    }  # fmt: skip
    assert data.test.lengths["accelerometer"].tolist() == [4, 7]
    assert data.client_names == ("s1", "s10", "s2")


def saved(**arrays):
    return lambda path: savemat(path, arrays)


def torn(path):
    savemat(path, {"d_iner": np.zeros((99, 6))})
    path.write_bytes(path.read_bytes()[:999])


def broken(path):
    savemat(path, {"d_iner": np.random.default_rng(0).random((99, 6))}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    path.write_bytes(content)


UNREADABLE = [
    (accelerometer, lambda path: None, "missing"),
    (accelerometer, lambda path: path.touch(), "no MATLAB file with d_iner: "),
    (accelerometer, lambda path: path.write_text("<html>404</html>" * 20), "no MATLAB file with d_iner: "),
    (accelerometer, torn, "no MATLAB file with d_iner: could not read bytes"),
    (accelerometer, broken, "no MATLAB file with d_iner: Error -3 while decompressing data"),
    (gyroscope, saved(d_skel=np.zeros((9, 6))), "no MATLAB file with d_iner"),
    (gyroscope, saved(d_iner=np.zeros((9, 5))), "d_iner has shape (9, 5)"),
    (gyroscope, saved(d_iner=np.zeros((0, 6))), "d_iner has shape (0, 6)"),
    (gyroscope, saved(d_iner=np.array([list("abcdef")])), "d_iner has shape (1, 6) and type "),
    (skeleton, saved(d_skel=np.zeros((20, 3))), "d_skel has shape (20, 3)"),
    (skeleton, saved(d_skel=np.zeros((19, 3, 4))), "d_skel has shape (19, 3, 4)"),
    (depth, saved(d_depth=np.zeros((240, 320))), "d_depth has shape (240, 320)"),
    (depth, saved(d_depth=np.zeros((241, 320, 2))), "d_depth has shape (241, 320, 2)"),
    (depth, saved(d_depth=np.zeros((240, 320, 0))), "d_depth has shape (240, 320, 0)"),
]
IDS = ["missing", "empty", "html", "torn", "broken", "other key", "columns", "no rows", "text", "no frames axis",
       "joints", "no time axis", "height", "no frames"]  # fmt: skip


@pytest.mark.parametrize(("read", "make", "reason"), UNREADABLE, ids=IDS)
def test_no_recording(tmp_path, read, make, reason):
    make(tmp_path / "a.mat")
    with pytest.raises(Unreadable) as caught:
        read(tmp_path / "a.mat")
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def text_file(root):
    (repacked(root) / "skeleton.npz").write_text("no archive")


MALFORMED = [
    (lambda root: None, "ROOT/Inertial does not exist"),
    (lambda root: (root / "Inertial").mkdir(), "ROOT/Inertial has no aA_sS_tT_inertial.mat"),
    (lambda root: (repacked(root) / "skeleton.npz").unlink(), "ROOT/skeleton.npz does not exist"),
    (lambda root: (repacked(root) / "depth_16x60x80_u8.npz").unlink(), "ROOT/depth_16x60x80_u8.npz does not exist"),
    (text_file, "ROOT/skeleton.npz cannot be read: File is not a zip file"),
    (lambda root: repacked(root, inertial={"trial": None}), "ROOT/inertial.npz has no 'trial'"),
]
MALFORMED_IDS = ["nothing", "no files", "no skeleton", "no depth", "text", "no key"]


@pytest.mark.parametrize(("make", "message"), MALFORMED, ids=MALFORMED_IDS)
def test_what_is_malformed_is_one_line(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.replace("ROOT", str(tmp_path)) + WAY_OUT


def test_a_missing_kind_of_files_is_one_line(tmp_path):
    root = official(tmp_path / "raw")
    shutil.rmtree(root / "Skeleton")
    with pytest.raises(DataError) as caught:
        prepare(
            UtdMhad, root, tmp_path / "cache", settings=UtdMhad.Settings(), mapper=here,
            extractors={m: Keep(Keep.Options()) for m in NAMES}, progress=lambda *_: None,
        )  # fmt: skip
    assert str(caught.value) == (
        f"5 of 5 files of 'skeleton' are missing, such as {root}/Skeleton/a1_s1_t1_skeleton.mat{WAY_OUT}"
    )
