"""CheXpert: 191,000 frontal chest X-rays and 14 labels of 65,000 patients, without reports.

Irvin et al., "CheXpert", AAAI 2019; the original or the small version. Frontal views only. The official validation
file, labelled by radiologists, is the test split, as it is what is public; validation samples are held out of the
training file by patient. Patients are the natural clients.
"""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from raysim.data.chest import CELLS, IMAGE, LABELS, Held, Seed, Uncertain, divided, labels
from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.data.table import Row, table

VIEW = "Frontal/Lateral"


class Chexpert(Recipe):
    """Modality `image`; 14 labels; patients are clients."""

    class Settings(Recipe.Settings):
        """What becomes of labels, and what is held out."""

        uncertain: Uncertain = "ones"
        validation: Held = 0.1
        seed: Seed = 0

    about = About(
        home="https://stanfordmlgroup.github.io/competitions/chexpert/",
        terms="Stanford University research use agreement",
        layout=(
            "train.csv, valid.csv, of CheXpert-v1.0 or CheXpert-v1.0-small; or the folder that holds one of these",
            "{train,valid}/patient00001/study1/view1_frontal.jpg",
        ),
    )
    features: ClassVar = {"image": IMAGE}

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """All frontal pictures, those of the training file first."""
        home = cls._home(root)
        parts = {name: cls._rows(home, f"{name}.csv") for name in ("train", "valid")}
        every = [row for rows in parts.values() for row in rows]
        patients = [cls._patient(home, row) for row in every]
        training = len(parts["train"])
        held = divided(patients[:training], settings.validation, 0.0, settings.seed, cls.title())
        return Index(
            # The first folder of a path is the dataset's own, whatever it is called here.
            media={"image": Medium("image", [home / row["Path"].partition("/")[2] for row in every], image)},
            labels=labels(every, settings.uncertain),
            classes=LABELS,
            split=np.concatenate([held, np.full(len(parts["valid"]), "test")]),
            clients=np.array(patients),
        )

    @classmethod
    def _home(cls, root: Path) -> Path:
        """The folder with train.csv: the root, or one inside."""
        found = [root, *sorted(root.glob("CheXpert-v1.0*"))]
        return next((folder for folder in found if (folder / "train.csv").is_file()), root)

    @classmethod
    def _rows(cls, home: Path, name: str) -> list[Row]:
        columns = {"Path": None, VIEW: ("Frontal", "Lateral"), **CELLS}
        rows = [r for r in table(cls.need(home, name), columns, cls.error) if r[VIEW] == "Frontal"]
        if not rows:
            raise cls.error(f"{home / name} names no frontal picture")
        return rows

    @classmethod
    def _patient(cls, home: Path, row: Row) -> str:
        found = re.search(r"/(patient\d+)/", row["Path"])
        if found is None:
            raise cls.error(f"{home}: the path '{row['Path']}' names no patient")
        return found[1]
