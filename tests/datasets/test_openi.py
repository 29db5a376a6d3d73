import tarfile
from collections import Counter
from pathlib import Path

import pytest
from xrays import draw, prepared, write_csv

from raysim import registry
from raysim.data.chest import LABELS
from raysim.data.dataset import DataError
from raysim.datasets.openi import OpenI, labelled

REAL = Path(__file__).parents[2] / "../shared/data/openi_reports"
REPORT = "<e><AbstractText Label='FINDINGS'>{}</AbstractText><AbstractText Label='IMPRESSION'/><MeSH>{}</MeSH></e>"
PROJECTIONS = ("uid", "filename", "projection")
REPORTS = ("uid", "MeSH", "Problems", "findings", "impression")
# Findings, impression, MeSH terms.
STUDIES = (
    ("The heart is large.", "", "Cardiomegaly/mild;Opacity/lung/base"),
    ("Clear lungs XXXX.", "Normal.", "normal"),
    ("Clear lungs.", "", "No Indexing"),
    ("XXXX", "", "normal"),
    ("Clear lungs.", "Stable.", "Scoliosis"),
)
WAY_OUT = (
    "; get openi from https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz, NLMCXR_png.tgz) and the csv files from "
    "https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university (CC BY-NC-ND 4.0)"
)


def write_reports(root, studies=STUDIES):
    rows = [(uid, mesh, "", findings, impression) for uid, (findings, impression, mesh) in enumerate(studies, 1)]
    write_csv(root / "indiana_reports.csv", REPORTS, rows)


def official(root, pictures="images/images_normalized"):
    """Five studies with a lateral and a frontal picture each; study 1 has two frontal ones."""
    write_reports(root)
    views = [(uid, f"{uid}_IM-{uid:04}-{view}001.dcm.png") for uid in range(1, 6) for view in (1, 2)]
    views.append((1, "1_IM-0001-3001.dcm.png"))
    rows = [(uid, name, "Lateral" if name.endswith("-2001.dcm.png") else "Frontal") for uid, name in views]
    write_csv(root / "indiana_projections.csv", PROJECTIONS, rows)
    for uid, name, _ in rows:
        draw(root / pictures / name, 20 * uid)
    return root


def index(root, **settings):
    return OpenI.index(root, OpenI.Settings(**settings))


@pytest.fixture
def real(tmp_path):
    """The real projections beside a folder for pictures, of which there are none."""
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/openi_reports beside the repository: reports of Open-I")
    (tmp_path / "indiana_projections.csv").symlink_to((REAL / "indiana_projections.csv").resolve())
    (tmp_path / "NLMCXR_png").mkdir()
    return tmp_path


def test_the_labels_of_all_real_reports(real):
    (real / "indiana_reports.csv").symlink_to((REAL / "indiana_reports.csv").resolve())
    found = index(real)
    assert dict(zip(LABELS, found.labels.sum(axis=0).tolist(), strict=True)) == {
        "No Finding": 1387, "Enlarged Cardiomediastinum": 27, "Cardiomegaly": 350, "Lung Opacity": 716,
        "Lung Lesion": 121, "Edema": 93, "Consolidation": 28, "Pneumonia": 39, "Atelectasis": 308, "Pneumothorax": 28,
        "Pleural Effusion": 147, "Pleural Other": 70, "Fracture": 88, "Support Devices": 172,
    }  # fmt: skip
    assert (len(found), len(set(found.clients)), int((found.labels.sum(axis=1) == 0).sum())) == (3727, 3603, 1048)
    assert Counter(found.split.tolist()) == {"train": 2609, "validation": 373, "test": 745}
    assert len(set(zip(found.clients, found.split, strict=True))) == 3603
    texts = found.media["text"].items
    assert (texts.count(None), sum("XXXX" in text for text in texts if text)) == (24, 0)
    assert texts[1] == (
        "Borderline cardiomegaly. Midline sternotomy. Enlarged pulmonary arteries. Clear lungs. Inferior. "
        "No acute pulmonary findings."
    )


def test_the_real_xml_files_say_the_same(real):
    """For the first 400 studies: unpacking all of them takes long."""
    projections = real / "indiana_projections.csv"
    head, *rows = projections.read_text(encoding="utf-8").splitlines()
    projections.unlink()
    projections.write_text("\n".join([head, *(row for row in rows if int(row.partition(",")[0]) <= 400)]))
    with tarfile.open(REAL / "NLMCXR_reports.tgz") as archive:
        names = {f"ecgen-radiology/{uid}.xml" for uid in range(1, 401)}
        archive.extractall(real, [m for m in archive if m.name in names], filter="data")
    xml = index(real)
    (real / "indiana_reports.csv").symlink_to((REAL / "indiana_reports.csv").resolve())
    table = index(real)
    assert len(xml) == 378
    assert xml.media["text"].items == table.media["text"].items
    assert (xml.labels == table.labels).all()
    assert [path.name for path in xml.media["image"].items[:2]] == ["CXR1_1_IM-0001-4001.png", "CXR2_IM-0652-1001.png"]


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        (("normal",), {"No Finding"}),
        (("Opacity/hilum/right", "Density/lung/base"), {"Lung Opacity"}),
        (("Density/ribs", "Calcified Granuloma/lung", "Thickening/lung"), set()),
        (("Mediastinum/paratracheal/enlarged ",), {"Enlarged Cardiomediastinum"}),
        (("Hydropneumothorax/left",), {"Pneumothorax", "Pleural Effusion"}),
        (("Cicatrix/lung/apex", "Cicatrix/pleura"), {"Lung Opacity", "Pleural Other"}),
        (("Fractures, Bone/ribs", "Catheters, Indwelling"), {"Fracture", "Support Devices"}),
        (("",), set()),
    ],
)
def test_labels_of_terms(terms, names):
    assert {name for name, there in zip(LABELS, labelled(terms), strict=True) if there} == names


@pytest.mark.parametrize("pictures", ["images/images_normalized", "images_normalized"])
def test_frontal_pictures_of_indexed_studies(tmp_path, pictures):
    found = index(official(tmp_path, pictures))
    folder = tmp_path / pictures
    assert found.media["image"].items == [
        folder / f"{name}.dcm.png"
        for name in ("1_IM-0001-1001", "2_IM-0002-1001", "4_IM-0004-1001", "5_IM-0005-1001", "1_IM-0001-3001")
    ]
    heart = "The heart is large."
    assert found.media["text"].items == [heart, "Clear lungs. Normal.", None, "Clear lungs. Stable.", heart]
    assert [[LABELS[c] for c in row.nonzero()[0]] for row in found.labels] == [
        ["Cardiomegaly", "Lung Opacity"], ["No Finding"], ["No Finding"], [], ["Cardiomegaly", "Lung Opacity"],
    ]  # fmt: skip
    assert found.clients.tolist() == ["1", "2", "4", "5", "1"]
    assert found.split[0] == found.split[4]


def test_settings(tmp_path):
    official(tmp_path)
    assert index(tmp_path, sections=("impression",)).media["text"].items == [None, "Normal.", None, "Stable.", None]
    assert index(tmp_path, validation=0.2, test=0.4).split.tolist() == ["train", "test", "test", "validation", "train"]
    assert index(tmp_path, validation=0.2, test=0.4, seed=1).split.tolist()[0] == "validation"


def test_prepared_and_read(tmp_path):
    root = official(tmp_path / "root")
    picture = root / "images/images_normalized/5_IM-0005-1001.dcm.png"
    picture.write_bytes(picture.read_bytes()[:40])
    done = prepared(OpenI, root, tmp_path / "cache", validation=0.25, test=0.25)
    assert (done.samples, [line.partition(": ")[2].partition(": ")[0] for line in done.skipped]) == (4, [str(picture)])
    data = OpenI(registry.options(OpenI, {"cache": str(tmp_path / "cache")})).load()
    assert (data.names, data.multi_label, data.client_names) == (("image", "text"), True, ("1", "2", "4"))
    splits = (data.train, data.validation, data.test)
    shades = [split.inputs["image"][:, 0, 0, 0].tolist() for split in splits]
    there = [split.present["text"].tolist() for split in splits]
    assert (shades, there) == ([[20, 20], [40], [80]], [[True, True], [True], [False]])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "indiana_projections.csv").unlink(), "{root}/indiana_projections.csv does not exist"),
        (lambda r: (r / "indiana_reports.csv").unlink(),
         "{root} has neither indiana_reports.csv nor ecgen-radiology/*.xml"),
        (lambda r: write_reports(r, STUDIES[:2]), "{root} has no report of study 3, of which there is a picture"),
        (lambda r: write_reports(r, STUDIES[2:3] * 5),
         "{root}: indiana_projections.csv names no frontal picture of an indexed study"),
        (lambda r: write_csv(r / "indiana_reports.csv", REPORTS[:3], [(1, 2, 3)]),
         "{root}/indiana_reports.csv has no column findings, impression"),
        (lambda r: write_csv(r / "indiana_projections.csv", PROJECTIONS, [(1, "a", "frontal")]),
         "{root}/indiana_projections.csv:2: projection is 'frontal', not one of: Frontal, Lateral"),
        (lambda r: (r / "images").rename(r / "moved"),
         "{root} has none of images/images_normalized, images_normalized, NLMCXR_png"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, spoil, message):
    official(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value) == message.format(root=tmp_path) + WAY_OUT


def test_a_malformed_xml_file(tmp_path):
    (official(tmp_path) / "indiana_reports.csv").unlink()
    (tmp_path / "ecgen-radiology").mkdir()
    (tmp_path / "ecgen-radiology/1.xml").write_text(REPORT.format("Clear.", "<major>normal</major>")[:-4])
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/ecgen-radiology/1.xml is no readable report: no element found")
    assert str(caught.value).endswith(WAY_OUT)
