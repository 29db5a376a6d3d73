import numpy as np
import pytest
from xrays import draw, prepared, write_csv

from raysim import registry
from raysim.data.chest import LABELS
from raysim.data.dataset import DataError
from raysim.datasets.chexpert import Chexpert

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
WAY_OUT = (
    "; get chexpert from https://stanfordmlgroup.github.io/competitions/chexpert/ "
    "(Stanford University research use agreement)"
)


def row(path, view="Frontal", **labels):
    return (path, "Female", "68", view, "AP" if view == "Frontal" else "", *(labels.get(n, "") for n in LABELS))


def official(root, name="CheXpert-v1.0-small"):
    """Ten patients to train on, with a lateral and two frontal pictures each; one to test."""
    rows = {"train": [], "valid": [row(f"{name}/valid/patient64541/study1/view1_frontal.jpg", Edema="1.0")]}
    for patient in range(1, 11):
        folder = f"{name}/train/patient{patient:05}"
        rows["train"] += [
            row(f"{folder}/study1/view1_frontal.jpg", Edema="-1.0", Fracture="1.0"),
            row(f"{folder}/study1/view2_lateral.jpg", "Lateral", Edema="-1.0", Fracture="1.0"),
            row(f"{folder}/study2/view1_frontal.jpg", Edema="0.0"),
        ]
    for part, lines in rows.items():
        write_csv(root / f"{part}.csv", COLUMNS, lines)
        for shade, (path, *_) in enumerate(lines):
            draw(root / path.partition("/")[2], shade)
    return root


def index(root, **settings):
    return Chexpert.index(root, Chexpert.Settings(**settings))


def test_frontal_pictures_divided_by_patient(tmp_path):
    found = index(official(tmp_path), validation=0.2)
    assert list(found.media) == ["image"]
    paths = [str(path.relative_to(tmp_path)) for path in found.media["image"].items]
    assert paths[:2] + paths[-1:] == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study2/view1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]
    assert {s: int((found.split == s).sum()) for s in ("train", "validation", "test")} == {
        "train": 16, "validation": 4, "test": 1,
    }  # fmt: skip
    assert len(set(zip(found.clients, found.split, strict=True))) == 11
    assert found.clients[-1] == "patient64541"
    assert found.classes == LABELS
    assert found.labels[[0, 1, 20]][:, [5, 12]].tolist() == [[1, 1], [0, 0], [1, 0]]


def test_settings(tmp_path):
    one = index(official(tmp_path), validation=0.2, uncertain="zeros")
    assert one.labels.sum(axis=0).tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0]
    assert index(tmp_path, validation=0.2, seed=1).split.tolist() != one.split.tolist()


@pytest.mark.parametrize("name", ["CheXpert-v1.0-small", "CheXpert-v1.0"])
def test_the_root_may_be_the_folder_above(tmp_path, name):
    official(tmp_path / name, name)
    assert index(tmp_path).media["image"].items == index(tmp_path / name).media["image"].items


def test_prepared_and_read(tmp_path):
    root = official(tmp_path / "root")
    (root / "train/patient00001/study1/view1_frontal.jpg").write_bytes(b"no picture")
    done = prepared(Chexpert, root, tmp_path / "cache", validation=0.2)
    assert (done.samples, len(done.skipped)) == (20, 1)
    data = Chexpert(registry.options(Chexpert, {"cache": str(tmp_path / "cache")})).load()
    assert (data.names, data.multi_label, len(data.client_names)) == (("image",), True, 11)
    assert (data.test.labels.dtype, data.test.labels.tolist()) == (np.float32, [[float(n == "Edema") for n in LABELS]])


def test_without_pictures(tmp_path):
    root = official(tmp_path / "root")
    (root / "train").rename(root / "moved")
    with pytest.raises(DataError) as caught:
        prepared(Chexpert, root, tmp_path / "cache")
    first = root / "train/patient00001/study1/view1_frontal.jpg"
    assert str(caught.value) == f"20 of 21 files of 'image' are missing, such as {first}{WAY_OUT}"


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("train.csv", None, "{root}/train.csv does not exist"),
        ("valid.csv", None, "{root}/valid.csv does not exist"),
        ("train.csv", [], "{root}/train.csv has no rows"),
        ("train.csv", [row("a/train/patient1/b.jpg", "Lateral")], "{root}/train.csv names no frontal picture"),
        ("train.csv", [row("a/train/b.jpg")], "{root}: the path 'a/train/b.jpg' names no patient"),
        ("train.csv", [row("a/train/patient1/b.jpg", Edema="yes")],
         "{root}/train.csv:2: Edema is 'yes', not one of: , 0, 1, -1, 0.0, 1.0, -1.0"),
        ("train.csv", [row("a/train/patient1/b.jpg")[:8]], "{root}/train.csv:2: no Lung Opacity"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, name, rows, message):
    official(tmp_path)
    if rows is None:
        (tmp_path / name).unlink()
    else:
        write_csv(tmp_path / name, COLUMNS, rows)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.format(root=tmp_path) + WAY_OUT
