from collections import Counter

import numpy as np
import pytest

from raysim.data.chest import LABELS, Report, clean, divided, joined, labels, sections
from raysim.data.media import Unreadable

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // ?pneumonia

 COMPARISON:  Chest radiograph ___

 FINDINGS:

 The lungs are clear.  Note: a nodule
 measures 3 mm on the ___ view .

 IMPRESSION:

 1.  No acute process.
"""


@pytest.mark.parametrize(
    ("report", "found"),
    [
        (REPORT, ("The lungs are clear. Note: a nodule measures 3 mm on the view.", "1. No acute process.")),
        (" FINDINGS AND IMPRESSION: Clear.\n", ("Clear.", "")),
        (" FINDINGS: One.\n TECHNIQUE: AP.\n FINDINGS: Two.\n", ("One. Two.", "")),
        ("Impression: None.\n", ("", "None.")),
        (" CONCLUSION: Stable.\n", ("", "Stable.")),
        (" INDICATION: Fever.\n WET READ: ___\n", ("", "")),
        ("No heading, impression: none.", ("", "")),
        ("", ("", "")),
    ],
)
def test_sections_of_a_report(report, found):
    parts = sections(report)
    assert tuple(joined(parts, [name]) for name in ("findings", "impression")) == found
    assert joined(parts, ("findings", "impression")) == " ".join(text for text in found if text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Normal chest x-XXXX.", "Normal chest x."),
        ("XXXX-filled,  dual-XXXX\nlead XXXX, no XX", "filled, dual lead, no XX"),
        ("___ to ___ , stable", "to, stable"),
        ("XXXX. ___", ""),
    ],
)
def test_marks_of_removed_names_go(text, cleaned):
    assert clean(text) == cleaned


def test_a_report_is_read_from_a_file(tmp_path):
    report = Report(("impression",))
    (tmp_path / "a.txt").write_text(REPORT, encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" INDICATION: Fever.\n", encoding="utf-8")
    (tmp_path / "torn.txt").write_bytes(b"FINDINGS: \xff")
    assert report(tmp_path / "a.txt") == "1. No acute process."
    assert [report.path(tmp_path / f"{name}.txt") for name in ("a", "empty", "torn", "none")] == [
        tmp_path / "a.txt", None, tmp_path / "torn.txt", tmp_path / "none.txt",
    ]  # fmt: skip
    with pytest.raises(Unreadable, match=r"^missing$"):
        report(tmp_path / "none.txt")
    with pytest.raises(Unreadable, match=r"^no readable text: 'utf-8' codec can't decode byte 0xff in position 10"):
        report(tmp_path / "torn.txt")


def test_uncertain_labels_are_ones_or_zeros():
    row = {**dict.fromkeys(LABELS, ""), "Edema": "-1.0", "Cardiomegaly": "1.0", "Fracture": "0.0", "Pneumonia": "-1"}
    plain = {**dict.fromkeys(LABELS, "0"), "No Finding": "1"}
    assert labels([row, plain], "ones").tolist() == [
        [0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert labels([row, plain], "zeros").sum(axis=0).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert labels([row], "ones").dtype == np.uint8


def test_patients_are_divided_by_shares_and_never_shared():
    patients = [f"p{i % 60}" for i in range(100)]
    found = divided(patients, 0.1, 0.2, 0, "test")
    assert Counter(found.tolist()) == {"train": 69, "validation": 11, "test": 20}
    assert len(set(zip(patients, found.tolist(), strict=True))) == 60
    assert divided(patients, 0.1, 0.2, 0, "test").tolist() == found.tolist()
    assert divided(patients, 0.1, 0.2, 1, "test").tolist() != found.tolist()
    assert set(divided(patients, 0.1, 0.0, 0, "test").tolist()) == {"train", "validation"}


def test_each_stratum_is_divided_by_the_shares():
    patients = [f"p{i}" for i in range(100)] + ["p0"]
    strata = np.array([0] * 80 + [1] * 21)  # patient p0 is in both
    found = divided(patients, 0.25, 0.25, 0, "test", strata)
    assert Counter(found[1:80].tolist()) == {"train": 39, "validation": 20, "test": 20}
    assert Counter(found[80:].tolist()) == {"train": 10, "validation": 5, "test": 6}
    assert found[0] == found[100]
