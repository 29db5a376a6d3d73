"""What tests of chest X-ray datasets share: small pictures, and a preparation in this process."""

import csv

import numpy as np
from PIL import Image

from raysim.data.extraction import here
from raysim.data.extractor import Extractor
from raysim.data.prepare import prepare
from raysim.features.pixels import Pixels


class Length(Extractor):
    """The number of characters."""

    reads = "text"

    def extract(self, media):
        return [np.array([len(text)], dtype=np.float32) for text in media]


def draw(path, shade=0):
    """A grey picture of 4 x 4 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), shade).save(path)


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def prepared(recipe, root, folder, **settings):
    known = {"image": Pixels(Pixels.Options(size=2, color="grey")), "text": Length(Length.Options())}
    return prepare(
        recipe, root, folder, settings=recipe.Settings(**settings), extractors={m: known[m] for m in recipe.features},
        mapper=here, progress=lambda *_: None,
    )  # fmt: skip
