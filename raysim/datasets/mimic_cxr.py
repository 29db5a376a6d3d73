"""MIMIC-CXR: chest X-rays, radiology reports and 14 labels of 65,000 patients.

Johnson et al., "MIMIC-CXR-JPG", 2019, with the reports of MIMIC-CXR (Johnson et al. 2019). A sample is one frontal
picture (view PA or AP) with the findings and the impression of its study's report; a study that has neither lacks the
text. Labels are those of CheXpert's labeller; the few studies that it did not label are left out, and the labels by
radiologists that version 2.1.0 adds for part of the test split are not used. The split is the official one, which keeps
patients apart. Patients are the natural clients: FIN's homogeneous set-up (ten clients of 810 patients each) is this
dataset with `partition: groups`. Reports are read once before anything is extracted, to see which have text.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from raysim.data.chest import CELLS, FRONTAL, IMAGE, LABELS, TEXT, Report, Sections, Uncertain, labels
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.data.table import Row, table

Columns = Mapping[str, Collection[str] | None]
SPLITS = {"train": "train", "validate": "validation", "test": "test"}


class MimicCxr(Recipe):
    """Modalities `image` and `text`; 14 labels; patients are clients."""

    class Settings(Recipe.Settings):
        """What becomes of labels and reports."""

        uncertain: Uncertain = "ones"
        sections: Sections = ("findings", "impression")

    about = About(
        home="https://physionet.org/content/mimic-cxr-jpg/ and https://physionet.org/content/mimic-cxr/",
        terms="PhysioNet credentialed access, data use agreement",
        layout=(
            "mimic-cxr-2.0.0-{split,metadata,chexpert}.csv, or .csv.gz",
            "files/p10/p10000032/s50414267/DICOM_ID.jpg",
            "mimic-cxr-reports/files/p10/p10000032/s50414267.txt, or the same below files/",
        ),
    )
    features: ClassVar = {"image": IMAGE, "text": TEXT}

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """All frontal pictures of labelled studies, in the order of the metadata."""
        columns: Columns = {"dicom_id": None, "split": tuple(SPLITS)}
        splits = {r["dicom_id"]: SPLITS[r["split"]] for r in cls._table(root, "split", columns)}
        studies = {r["study_id"]: r for r in cls._table(root, "chexpert", {"study_id": None, **CELLS})}
        columns = dict.fromkeys(("dicom_id", "subject_id", "study_id", "ViewPosition"))
        every = cls._table(root, "metadata", columns)
        rows = [r for r in every if r["ViewPosition"] in FRONTAL and r["study_id"] in studies]
        if not rows:
            raise cls.error(f"{root}: the metadata names no frontal picture of a labelled study")
        if lost := [r["dicom_id"] for r in rows if r["dicom_id"] not in splits]:
            raise cls.error(f"{root}: {len(lost)} pictures of the metadata have no split, such as {lost[0]}")
        folders = [f"p{r['subject_id'][:2]}/p{r['subject_id']}/s{r['study_id']}" for r in rows]
        files = cls.need(root, "files")
        pictures = [files / f / f"{r['dicom_id']}.jpg" for f, r in zip(folders, rows, strict=True)]
        report = Report(settings.sections)
        reports = root / "mimic-cxr-reports" / "files"
        home = reports if reports.is_dir() else files
        texts = {f: report.path(home / f"{f}.txt") for f in dict.fromkeys(folders)}
        return Index(
            media={
                "image": Medium("image", pictures, image),
                "text": Medium("text", [texts[f] for f in folders], report),
            },
            labels=labels([studies[r["study_id"]] for r in rows], settings.uncertain),
            classes=LABELS,
            split=np.array([splits[r["dicom_id"]] for r in rows]),
            clients=np.array([f"p{r['subject_id']}" for r in rows]),
        )

    @classmethod
    def _table(cls, root: Path, name: str, columns: Columns) -> list[Row]:
        file = f"mimic-cxr-2.0.0-{name}.csv"
        packed = root / f"{file}.gz"
        return table(packed if packed.is_file() else cls.need(root, file), columns, cls.error)
