import gzip

import numpy as np
import pytest
from layouts import MIMIC_CXR, REPORTS, mimic_cxr, write_csv, write_studies
from xrays import prepared

from raysim import registry
from raysim.data.chest import LABELS
from raysim.data.dataset import DataError
from raysim.datasets.mimic_cxr import MimicCxr

# Picture, patient, study, view, split.
PICTURES = (
    ("a-1", "10000032", "50000001", "PA", "train"),
    ("a-2", "10000032", "50000001", "LATERAL", "train"),
    ("a-3", "10000032", "50000002", "AP", "train"),
    ("a-4", "10000032", "50000002", "PA", "train"),
    ("b-1", "11000764", "50000003", "AP", "validate"),
    ("c-1", "11000941", "50000004", "PA", "test"),
    ("c-2", "11000941", "50000005", "PA", "test"),  # not labelled
    ("c-3", "11000941", "50000004", "", "test"),
)
LABELLED = {
    "50000001": {"Edema": "-1.0"},
    "50000002": {"Fracture": "1.0"},
    "50000003": {},
    "50000004": {"Edema": "0.0"},
}
WAY_OUT = (
    "; get mimic_cxr from https://physionet.org/content/mimic-cxr-jpg/ and https://physionet.org/content/mimic-cxr/ "
    "(PhysioNet credentialed access, data use agreement)"
)


def report(study):
    if study == "50000002":
        return " INDICATION: Cough.\n"
    return " FINDINGS: Clear lungs.\n\n IMPRESSION: No change since ___.\n"


def official(root, reports=REPORTS):
    return mimic_cxr(root, PICTURES, LABELLED, report, reports)


def index(root, **settings):
    return MimicCxr.index(root, MimicCxr.Settings(**settings))


@pytest.mark.parametrize("reports", [REPORTS, "files"])
def test_frontal_pictures_of_labelled_studies(tmp_path, reports):
    found = index(official(tmp_path, reports))
    assert [path.stem for path in found.media["image"].items] == ["a-1", "a-3", "a-4", "b-1", "c-1"]
    assert found.split.tolist() == ["train", "train", "train", "validation", "test"]
    assert found.clients.tolist() == ["p10000032"] * 3 + ["p11000764", "p11000941"]
    assert found.classes == LABELS
    assert np.argwhere(found.labels).tolist() == [[0, 5], [1, 12], [2, 12]]
    text = found.media["text"]
    assert [item and text.read(item) for item in text.items] == [
        "Clear lungs. No change since.", None, None, "Clear lungs. No change since.", "Clear lungs. No change since.",
    ]  # fmt: skip


def test_settings(tmp_path):
    found = index(official(tmp_path), uncertain="zeros", sections=("impression",))
    assert found.labels.sum(axis=0)[[5, 12]].tolist() == [0, 2]
    assert found.media["text"].read(found.media["text"].items[0]) == "No change since."


def test_compressed_tables(tmp_path):
    whole = index(official(tmp_path))
    for name in MIMIC_CXR:
        path = tmp_path / f"mimic-cxr-2.0.0-{name}.csv"
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert index(tmp_path).media["image"].items == whole.media["image"].items


def test_prepared_and_read(tmp_path):
    done = prepared(MimicCxr, official(tmp_path / "root"), tmp_path / "cache")
    assert (done.samples, done.skipped) == (5, ())
    data = MimicCxr(registry.options(MimicCxr, {"cache": str(tmp_path / "cache")})).load()
    assert {m: (spec.kind, spec.shape) for m, spec in data.modalities.items()} == {
        "image": ("image", (1, 2, 2)), "text": ("vector", (1,)),
    }  # fmt: skip
    assert (data.multi_label, data.train.labels.dtype, data.train.labels.shape) == (True, np.float32, (3, 14))
    assert data.train.present["text"].tolist() == [True, False, False]
    assert data.train.inputs["text"][0].tolist() == [29]
    assert data.train.inputs["image"][:, 0, 0, 0].tolist() == [0, 60, 90]
    assert data.train.clients.tolist() == [0, 0, 0]


def test_a_few_bad_files_are_left_out(tmp_path):
    root = official(tmp_path / "root")
    picture = root / "files/p10/p10000032/s50000001/a-1.jpg"
    picture.write_bytes(picture.read_bytes()[:50])
    (root / REPORTS / "p10/p10000032/s50000001.txt").unlink()
    done = prepared(MimicCxr, root, tmp_path / "cache")
    assert done.samples == 4
    assert [line.split(": ")[0::2] for line in done.skipped] == [["image", "no readable image"], ["text", "missing"]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "mimic-cxr-2.0.0-split.csv").unlink(), "{root}/mimic-cxr-2.0.0-split.csv does not exist"),
        (lambda r: write_studies(r, PICTURES, {"50000001": {"Edema": "2"}}),
         "{root}/mimic-cxr-2.0.0-chexpert.csv:2: Edema is '2', not one of: , 0, 1, -1, 0.0, 1.0, -1.0"),
        (lambda r: write_studies(r, [(*PICTURES[0][:4], "valid")], LABELLED),
         "{root}/mimic-cxr-2.0.0-split.csv:2: split is 'valid', not one of: train, validate, test"),
        (lambda r: write_studies(r, PICTURES[1:2], LABELLED),
         "{root}: the metadata names no frontal picture of a labelled study"),
        (lambda r: write_csv(r / "mimic-cxr-2.0.0-split.csv", MIMIC_CXR["split"], [("a-1", "1", "1", "train")]),
         "{root}: 4 pictures of the metadata have no split, such as a-3"),
        (lambda r: (r / "files").rename(r / "moved"), "{root}/files does not exist"),
        (lambda r: (r / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(b"no"),
         "{root}/mimic-cxr-2.0.0-split.csv.gz cannot be read: no whole gzip file: Not a gzipped file (b'no')"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, spoil, message):
    official(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.format(root=tmp_path) + WAY_OUT


def test_without_reports(tmp_path):
    root = official(tmp_path / "root")
    (root / "mimic-cxr-reports").rename(root / "elsewhere")
    with pytest.raises(DataError) as caught:
        prepared(MimicCxr, root, tmp_path / "cache")
    assert str(caught.value) == (
        f"4 of 4 files of 'text' are missing, such as {root}/files/p10/p10000032/s50000001.txt{WAY_OUT}"
    )
