import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from xrays import draw, prepared, write_csv

from raysim import registry
from raysim.data.dataset import DataError
from raysim.datasets.covid_cxr import CovidCxr, masked

REAL = Path(__file__).parents[2] / "../shared/data/covid_cxr_notes"
LEAKS = (
    "covid", "corona v", "coronav", "sars", "-ncov", "mers-", " ards", "(ards", "distress syndrome", "viral",
    "virus", "influenza", " flu ", " flu-", " flu,", " flu.", "varicell", "herp", "pneumoni", "bacteri", "strept",
    "klebs", "coli ", "legionel", "pneumophila", "mycoplasm", "chlamyd", "pneumocyst", "jirovec", "carinii", "pcp",
    "fung", "lipoid", "aspiration", "tubercul",
)  # fmt: skip
COLUMNS = ("patientid", "finding", "view", "modality", "location", "filename", "clinical_notes")
ROWS = (
    ("1", "COVID-19", "PA", "X-ray", "Italy", "a.jpg", "COVID-19 positive."),
    ("1", "Pneumonia/Viral/COVID-19", "AP Supine", "X-ray", "Italy", "b.jpg", "Fever."),
    ("1", "COVID-19", "L", "X-ray", "Italy", "c.jpg", "Lateral view."),
    ("1", "COVID-19", "Axial", "CT", "Italy", "d.nii.gz", "Tomography."),
    ("2", "todo", "PA", "X-ray", "Spain", "e.jpg", "Cough."),
    ("3", "SARS", "AP", "X-ray", "", "f.jpg", "Cough."),
    ("3", "SARS", "AP", "X-ray", "", "g.jpg", " "),
    ("4", "No Finding", "PA", "X-ray", "Spain", "h.png", "Dyspnoea\r\nand flu."),
)
WAY_OUT = (
    "; get covid_cxr from https://github.com/ieee8023/covid-chestxray-dataset "
    "(each picture has its own licence, in metadata.csv)"
)


def official(root, rows=ROWS, columns=COLUMNS):
    write_csv(root / "metadata.csv", columns, rows)
    for shade, row in enumerate(rows):
        if row[3] == "X-ray":
            draw(root / "images" / row[5], 10 * shade)
    return root


def index(root, **settings):
    return CovidCxr.index(root, CovidCxr.Settings(**settings))


@pytest.fixture
def real():
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/covid_cxr_notes beside the repository: X-rays with notes")
    return REAL


def test_the_real_pairs(real):
    found = index(real)
    assert (found.classes, len(found), len(set(found.clients))) == (("other", "COVID-19"), 388, 240)
    assert {s: np.bincount(found.labels[found.split == s]).tolist() for s in ("train", "validation", "test")} == {
        "train": [53, 179], "validation": [15, 44], "test": [22, 75],
    }  # fmt: skip
    assert len(set(zip(found.clients, found.split, strict=True))) == 240
    assert {path.is_file() for path in found.media["image"].items} == {True}
    assert len(set(index(real, clients="location").clients)) == 94


def test_no_real_note_names_a_finding(real):
    found = index(real)
    notes = found.media["text"].items
    assert [(leak, note) for note in notes for leak in LEAKS if leak in f" {note.lower()} "] == []
    touched = np.array(["[MASK]" in note for note in notes])
    assert np.bincount(found.labels[touched]).tolist() == [49, 132]
    with (real / "metadata.csv").open(encoding="utf-8", newline="") as file:
        raw = {row["image"]: " ".join(row["clinical_notes"].split()) for row in csv.DictReader(file)}
    names = [path.name for path in found.media["image"].items]
    assert [raw[name] == note for name, note in zip(names, notes, strict=True)] == (~touched).tolist()


@pytest.mark.parametrize(
    ("note", "hidden"),
    [
        ("Covid 19, COVID-2019 and covid19.", "[MASK], [MASK] and [MASK]."),
        ("classicCOVID-19 findings; COVID-positive", "[MASK] findings; [MASK]"),
        ("Coronavirus disease 2019 (SARS-CoV-2 RNA)", "[MASK] ([MASK] RNA)"),
        ("SARS CoV 2, 2019-nCoV, MERS-CoV, SARS VOC 2", "[MASK], [MASK], [MASK]-[MASK], [MASK]"),
        ("severe acute respiratory syndrome; acute respiratory distress syndrome (ARDS)", "[MASK]; [MASK] ([MASK])"),
        ("bronchopneumonia by E. coli, antiviral drugs", "[MASK] by [MASK], [MASK] drugs"),
        ("Flu-like illness,\nTB and PCP", "[MASK]-like illness, [MASK] and [MASK]"),
        ("coronary bypass, peribroncovascular, cDMARDs, pneumothorax, recovering, aspirate, coronal",
         "coronary bypass, peribroncovascular, cDMARDs, pneumothorax, recovering, aspirate, coronal"),
    ],
)  # fmt: skip
def test_names_of_findings_are_masked(note, hidden):
    assert masked(note) == hidden


def test_frontal_pictures_with_a_note_and_a_finding(tmp_path):
    found = index(official(tmp_path))
    assert [path.name for path in found.media["image"].items] == ["a.jpg", "b.jpg", "f.jpg", "h.png"]
    assert found.media["text"].items == ["[MASK] positive.", "Fever.", "Cough.", "Dyspnoea and [MASK]."]
    assert found.labels.tolist() == [1, 1, 0, 0]
    assert found.clients.tolist() == ["1", "1", "3", "4"]
    assert index(tmp_path, clients="location").clients.tolist() == ["Italy", "Italy", "unknown", "Spain"]


def test_prepared_and_read(tmp_path):
    rows = [(str(i), "SARS" if i % 2 else "COVID-19", "PA", "X-ray", "", f"{i}.png", "Cough.") for i in range(40)]
    root = official(tmp_path / "root", rows)
    (root / "images/3.png").write_bytes(b"")
    (root / "images/4.png").unlink()
    done = prepared(CovidCxr, root, tmp_path / "cache")
    assert (done.samples, len(done.skipped)) == (38, 2)
    data = CovidCxr(registry.options(CovidCxr, {"cache": str(tmp_path / "cache")})).load()
    assert (data.names, data.multi_label, len(data.client_names)) == (("image", "text"), False, 38)
    counts = [Counter(split.labels.tolist()) for split in (data.train, data.validation, data.test)]
    assert counts == [{0: 11, 1: 11}, {0: 3, 1: 3}, {0: 5, 1: 5}]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "metadata.csv").unlink(), "{root}/metadata.csv does not exist"),
        (lambda r: official(r, ROWS[2:5]), "{root}/metadata.csv has no X-ray with a note and a finding"),
        (lambda r: official(r, ROWS, (*COLUMNS[:5], "file", "notes")),
         "{root}/metadata.csv has no column filename, clinical_notes"),
        (lambda r: (r / "images").rename(r / "moved"), "{root}/images does not exist"),
        (lambda r: (r / "metadata.csv").write_text(",".join(COLUMNS) + '\n1,"COVID'),
         "{root}/metadata.csv:2: unexpected end of data"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, spoil, message):
    official(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.format(root=tmp_path) + WAY_OUT
