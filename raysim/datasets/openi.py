"""Open-I: 3,818 frontal chest X-rays with radiology reports, of Indiana University.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval", 2016. Reports
come as NLM's XML files or as the widely used csv file made of them, which say the same; pictures as NLM's PNG files or
the normalised ones. Either way `indiana_projections.csv` is needed: only it tells frontal from lateral views.

A study is a patient here, as the data names no patients; patients are the natural clients and never shared between
splits, which are drawn. The text is the findings and the impression, without the marks XXXX of removed words; a study
that has neither lacks it. The 14 labels of CheXpert are made from the MeSH terms by which people indexed each study:
`TERMS` follows the phrases of CheXpert's labeller (so scars are a lung opacity, fibrosis is "Pleural Other"), and terms
for what the labeller has no phrase for, such as granuloma or calcinosis, give no label. The 92 studies that nobody
indexed are left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple
from xml.etree import ElementTree

import numpy as np

from raysim.data.chest import IMAGE, LABELS, TEXT, Held, Section, Sections, Seed, divided, joined
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.data.table import Row, table

TERMS: Mapping[str, tuple[str, ...]] = {
    "No Finding": ("normal",),
    "Enlarged Cardiomediastinum": ("Mediastinum/enlarged", "Mediastinum/prominent"),
    "Cardiomegaly": ("Cardiomegaly", "Cardiac Shadow/enlarged"),
    "Lung Opacity": (
        "Opacity", "Density/lung", "Infiltrate", "Airspace Disease", "Markings/interstitial", "Cicatrix/lung",
        "Lung Diseases, Interstitial",
    ),
    "Lung Lesion": ("Nodule", "Mass"),
    "Edema": ("Pulmonary Edema", "Pulmonary Congestion", "Heart Failure"),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Pulmonary Atelectasis",),
    "Pneumothorax": ("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"),
    "Pleural Effusion": ("Pleural Effusion", "Hydropneumothorax", "Hemopneumothorax", "Hemothorax"),
    "Pleural Other": ("Thickening/pleura", "Cicatrix/pleura", "Pulmonary Fibrosis", "Fibrosis"),
    "Fracture": ("Fractures, Bone",),
    "Support Devices": ("Catheters, Indwelling", "Tube, Inserted", "Medical Device", "Implanted Medical Device"),
}  # fmt: skip
"""Label -> MeSH headings; after a slash what must qualify the heading."""
UNINDEXED = "No Indexing"
PICTURES = ("images/images_normalized", "images_normalized", "NLMCXR_png")


class Study(NamedTuple):
    """A report."""

    terms: tuple[str, ...]
    sections: Mapping[Section, str]


class OpenI(Recipe):
    """Modalities `image` and `text`; 14 labels; patients are clients."""

    class Settings(Recipe.Settings):
        """What the text is, and how the data is divided."""

        sections: Sections = ("findings", "impression")
        validation: Held = 0.1
        test: Held = 0.2
        seed: Seed = 0

    about = About(
        home="https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz, NLMCXR_png.tgz) and the csv files from "
        "https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university",
        terms="CC BY-NC-ND 4.0",
        layout=(
            "indiana_projections.csv",
            "indiana_reports.csv, or ecgen-radiology/*.xml",
            "images/images_normalized/*.png, images_normalized/*.png, or NLMCXR_png/*.png",
        ),
    )
    features: ClassVar = {"image": IMAGE, "text": TEXT}

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """All frontal pictures of indexed studies, in the order of the projections."""
        studies = cls._csv(root) if (root / "indiana_reports.csv").is_file() else cls._xml(root)
        columns = {"uid": None, "filename": None, "projection": ("Frontal", "Lateral")}
        views = table(cls.need(root, "indiana_projections.csv"), columns, cls.error)
        frontal = [r for r in views if r["projection"] == "Frontal"]
        for row in frontal:
            if row["uid"] not in studies:
                raise cls.error(f"{root} has no report of study {row['uid']}, of which there is a picture")
        rows = [r for r in frontal if UNINDEXED not in studies[r["uid"]].terms]
        if not rows:
            raise cls.error(f"{root}: indiana_projections.csv names no frontal picture of an indexed study")
        uids = [r["uid"] for r in rows]
        texts = {uid: joined(studies[uid].sections, settings.sections) or None for uid in uids}
        return Index(
            media={
                "image": Medium("image", cls._pictures(root, rows), image),
                "text": Medium("text", [texts[uid] for uid in uids]),
            },
            labels=np.array([labelled(studies[uid].terms) for uid in uids], dtype=np.uint8),
            classes=LABELS,
            split=divided(uids, settings.validation, settings.test, settings.seed, cls.title()),
            clients=np.array(uids),
        )

    @classmethod
    def _csv(cls, root: Path) -> dict[str, Study]:
        columns: dict[str, None] = dict.fromkeys(("uid", "MeSH", "findings", "impression"))
        rows = table(root / "indiana_reports.csv", columns, cls.error)
        return {
            r["uid"]: Study(tuple(r["MeSH"].split(";")), {"findings": r["findings"], "impression": r["impression"]})
            for r in rows
        }

    @classmethod
    def _xml(cls, root: Path) -> dict[str, Study]:
        if not (paths := sorted(root.glob("ecgen-radiology/*.xml"))):
            raise cls.error(f"{root} has neither indiana_reports.csv nor ecgen-radiology/*.xml")
        return {path.stem: cls._study(path) for path in paths}

    @classmethod
    def _study(cls, path: Path) -> Study:
        try:
            tree = ElementTree.parse(path)
        except (OSError, ElementTree.ParseError) as error:
            raise cls.error(f"{path} is no readable report: {error}") from error
        found = {part.get("Label"): part.text or "" for part in tree.iter("AbstractText")}
        return Study(
            tuple(term.text or "" for term in tree.iterfind("MeSH/major")),
            {"findings": found.get("FINDINGS", ""), "impression": found.get("IMPRESSION", "")},
        )

    @classmethod
    def _pictures(cls, root: Path, rows: list[Row]) -> list[Path]:
        folder = next((root / name for name in PICTURES if (root / name).is_dir()), None)
        if folder is None:
            raise cls.error(f"{root} has none of {', '.join(PICTURES)}")
        if folder.name != "NLMCXR_png":
            return [folder / r["filename"] for r in rows]
        names = [r["filename"].removesuffix(".dcm.png") for r in rows]
        # NLM's names begin with the study; those of study 1 do so twice.
        return [folder / (f"CXR1_{name}.png" if r["uid"] == "1" else f"CXR{name}.png")
                for name, r in zip(names, rows, strict=True)]  # fmt: skip


def labelled(terms: tuple[str, ...]) -> list[int]:
    """The 14 labels of a study, from its MeSH terms such as `Opacity/lung/base/left`."""
    found: set[str] = set()
    for term in terms:
        heading, *qualifiers = (part.strip() for part in term.split("/"))
        found |= {heading, *(f"{heading}/{qualifier}" for qualifier in qualifiers)}
    return [int(not found.isdisjoint(TERMS[label])) for label in LABELS]
