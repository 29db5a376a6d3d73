"""COVID-19 chest X-rays: a picture and a clinical note; COVID-19 against other findings.

Cohen et al., "COVID-19 Image Data Collection", 2020. Samples are frontal X-rays (views PA and AP) that have a note and
a finding. Notes often name the finding, so every name of one that the collection knows (COVID-19, SARS, influenza,
pneumonia, ...) is masked, whether or not it is the sample's own. What only hints at it, such as a place, a date or a
test, is left (44 % of the notes on COVID-19 and 54 % of the others are masked somewhere, so that the mask itself tells
little). As many classes have a handful of samples, there are two: COVID-19, also with ARDS, and everything else.

Splits are drawn by patient within the classes. Patients or, by `--set clients=location`, the places that are credited
are the natural clients.
"""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from raysim.data.chest import FRONTAL, IMAGE, TEXT, Held, Seed, divided
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.data.table import Row, table

MASK = "[MASK]"
UNKNOWN = ("", "todo", "Unknown")
COLUMNS = dict.fromkeys(("patientid", "finding", "view", "location", "clinical_notes"))
NAMES = re.compile(
    r"""
    (?:(?:severe|acute|middle\s+east)\s+)*respiratory\s+(?:distress\s+)?syndrome
    | [\w-]*(?:covid|coronavirus|sars)[\w-]*(?:\s+(?:disease[\s-]+)?(?:2019|19)\b|[\s-]+(?:cov|voc)[\s-]?2\b)?
    | [\w-]*(?:
        virus|viral|influenza|varicell|herpe|pneumoni|bacteri|strepto|staphylo|klebsiell|escherich|legionell|pneumophil
        |pneumococ|mycoplasm|chlamyd|nocardi|tubercul|pneumocyst|jirovec|fung[ai]|aspergill|aspiration|lipoid
      )[\w-]*
    | \b(?:2019-)?n?cov\b
    | \b(?:corona|mers|ards|co-?rads|flu|h1n1|rsv|hsv|mrsa|e\.?\s?coli|tb|pcp|pjp|carinii)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


class CovidCxr(Recipe):
    """Modalities `image` and `text`; two classes; patients or places are clients."""

    class Settings(Recipe.Settings):
        """How the data is divided."""

        clients: Annotated[
            Literal["patient", "location"], Field(description="Natural clients: patient, or location.")
        ] = "patient"
        validation: Held = 0.15
        test: Held = 0.25
        seed: Seed = 0

    about = About(
        home="https://github.com/ieee8023/covid-chestxray-dataset",
        terms="each picture has its own licence, in metadata.csv",
        layout=(
            "metadata.csv with a column filename, and images/; or",
            "metadata.csv with a column image, and images_224/: the same, pictures already reduced",
        ),
    )
    features: ClassVar = {
        "image": ({"name": "pixels", "size": 64, "color": "grey"}, *(name for name in IMAGE if name != "pixels")),
        "text": TEXT,
    }

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """All X-rays with a note and a finding."""
        column, folder = ("image", "images_224") if (root / "images_224").is_dir() else ("filename", "images")
        rows = [r for r in table(cls.need(root, "metadata.csv"), {column: None, **COLUMNS}, cls.error) if usable(r)]
        if not rows:
            raise cls.error(f"{root / 'metadata.csv'} has no X-ray with a note and a finding")
        positive = np.array(["COVID-19" in row["finding"] for row in rows], dtype=np.int64)
        patients = [row["patientid"].strip() for row in rows]
        places = [row["location"].strip() or "unknown" for row in rows]
        pictures = cls.need(root, folder)
        return Index(
            media={
                "image": Medium("image", [pictures / row[column] for row in rows], image),
                "text": Medium("text", [masked(row["clinical_notes"]) for row in rows]),
            },
            labels=positive,
            classes=("other", "COVID-19"),
            split=divided(patients, settings.validation, settings.test, settings.seed, cls.title(), positive),
            clients=np.array(patients if settings.clients == "patient" else places),
        )


def usable(row: Row) -> bool:
    """Whether it is a frontal X-ray that has a note and a finding; the collection holds tomography, too."""
    return (
        row.get("modality", "X-ray") == "X-ray"
        and row["view"].startswith(FRONTAL)
        and row["finding"] not in UNKNOWN
        and bool(row["clinical_notes"].strip())
    )


def masked(note: str) -> str:
    """A note without the names of findings, and without line breaks."""
    return " ".join(NAMES.sub(MASK, note).split())
