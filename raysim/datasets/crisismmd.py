"""CrisisMMD: tweets with a picture each from seven disasters of 2017, by their humanitarian content.

Alam, Ofli and Imran, "CrisisMMD: Multimodal Twitter Datasets from Natural Disasters", ICWSM 2018, version 2.0; eight
classes and the official splits of its humanitarian task, as in FedMultimodal (Feng et al., KDD 2023). That divides the
training pictures by label (`partition: dirichlet`, 100 clients); the natural clients are the seven disasters
(`partition: natural`), which also name the validation and test samples.

`labels: all` are the pairs that FedMultimodal uses, `agreed` (6,126, 998 and 955) those whose text and picture were
given the same label. There the labels of text and picture have rare classes merged into others (vehicle damage into
infrastructure damage; injured, dead, missing and found people into affected individuals), so that five classes occur.
`label: pair` is the column `label`: one label for both, which has all eight classes in the agreed files, too, and where
text and picture differ that of the one or the other.

A tweet's text is without its URLs and otherwise as it is in the file: broken characters and `&amp;` stay.

FedMultimodal's code reads the texts of the test pairs from the file of the validation pairs, so that a picture has
some other tweet's text. `compat: fedmultimodal` does the same, to compare with numbers published from it.
"""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from raysim.data.media import image
from raysim.data.recipe import About, Index, Medium, Recipe, numbered
from raysim.data.table import Row, table

CLASSES = (
    "not_humanitarian", "infrastructure_and_utility_damage", "vehicle_damage", "rescue_volunteering_or_donation_effort",
    "other_relevant_information", "affected_individuals", "injured_or_dead_people", "missing_or_found_people",
)  # fmt: skip
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
FILES = {
    "all": ("crisismmd_datasplit_all", "task_humanitarian_text_img_{}.tsv"),
    "agreed": ("crisismmd_datasplit_agreed_label", "task_humanitarian_text_img_agreed_lab_{}.tsv"),
}
LABELS = {"image": "label_image", "text": "label_text", "pair": "label"}
URL = re.compile(r"\s*http\S+")  # also one that a retweet has cut off


class Crisismmd(Recipe):
    """Modalities `image` and `text`; eight classes; seven clients."""

    class Settings(Recipe.Settings):
        """Which pairs, and which of their labels."""

        labels: Annotated[
            Literal["all", "agreed"], Field(description="All pairs, or those with the same label for both (agreed).")
        ] = "all"
        label: Annotated[
            Literal["image", "text", "pair"], Field(description="What was labelled: image, text, or pair.")
        ] = "image"
        compat: Annotated[
            Literal["fedmultimodal"] | None,
            Field(description="fedmultimodal: test texts come from the validation file, as in that code."),
        ] = None

    about = About(
        home="https://crisisnlp.qcri.org/crisismmd (CrisisMMD_v2.0.tar.gz, crisismmd_datasplit_agreed_label.zip)",
        terms="CC BY-NC-SA 4.0 and Twitter's terms",
        layout=(
            "data_image/EVENT/DATE/ID.jpg",
            "crisismmd_datasplit_all/task_humanitarian_text_img_{train,dev,test}.tsv, or for labels=agreed",
            "crisismmd_datasplit_agreed_label/task_humanitarian_text_img_agreed_lab_{train,dev,test}.tsv",
            "all of these in DIR or in CrisisMMD_v2.0, the .tsv files also without their folder",
        ),
    )
    features: ClassVar = {
        "image": ("mobilenet_v2", "resnet50", "raw", {"name": "pixels", "size": 64}),
        "text": ("mobilebert", "bert", "tokens"),
    }

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """All pairs in the order of the files."""
        home = root / "CrisisMMD_v2.0" if (root / "CrisisMMD_v2.0").is_dir() else root
        column = LABELS[settings.label]
        rows = {split: cls._rows(home, settings.labels, part, column) for split, part in SPLITS.items()}
        texts = {split: [URL.sub("", row["tweet_text"]).strip() for row in rows[split]] for split in SPLITS}
        if settings.compat is not None:
            texts["test"] = texts["validation"][: len(texts["test"])]
            if len(texts["test"]) < len(rows["test"]):
                raise cls.error(f"{home}: compat needs at least as many validation pairs as test pairs")
        cls.need(home, "data_image")
        every = [row for split in SPLITS for row in rows[split]]
        return Index(
            media={
                "image": Medium("image", [home / row["image"] for row in every], image),
                "text": Medium("text", [text for split in SPLITS for text in texts[split]]),
            },
            labels=numbered([row[column] for row in every], CLASSES),
            classes=CLASSES,
            split=np.repeat(list(SPLITS), [len(rows[split]) for split in SPLITS]),
            clients=np.array([row["event_name"] for row in every]),
        )

    @classmethod
    def _rows(cls, home: Path, labels: str, part: str, column: str) -> list[Row]:
        folder, name = FILES[labels][0], FILES[labels][1].format(part)
        path = home / name if (home / name).exists() else cls.need(home, f"{folder}/{name}")
        columns = {**dict.fromkeys(("event_name", "tweet_text", "image")), column: CLASSES}
        return table(path, columns, cls.error, delimiter="\t", quoted=False)
