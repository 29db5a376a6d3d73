"""What the chest X-ray datasets have in common: labels, division by patient, and the text of reports.

Shapes: N samples, 14 labels.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.media import Unreadable
from raysim.seeding import stream

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
"""In the order of CheXpert (Irvin et al. 2019, table 1)."""
CELLS = dict.fromkeys(LABELS, ("", "0", "1", "-1", "0.0", "1.0", "-1.0"))
"""What a csv file may say of each."""
IMAGE: tuple[str, ...] = ("raw", "pixels", "resnet50", "mobilenet_v2")
TEXT: tuple[str, ...] = ("tokens", "bert", "mobilebert")
FRONTAL = ("PA", "AP")

Section = Literal["findings", "impression"]
Sections = Annotated[
    tuple[Section, ...], Field(min_length=1, description="Sections of the report that are the text, in this order.")
]
Uncertain = Annotated[
    Literal["ones", "zeros"],
    Field(description="What an uncertain label (-1) is: ones or zeros, U-Ones and U-Zeros of Irvin et al. 2019."),
]
Seed = Annotated[int, Field(ge=0, description="Of the division into splits.")]
Held = Annotated[float, Field(gt=0.0, lt=0.5, description="Share of the samples, by patient.")]

_MARK = re.compile(r"-?X{4,}-?|_{3,}")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ()/,&-]{3,}|(?i:findings?|impressions?|conclusions?)):", re.MULTILINE)
_STARTS: Mapping[str, Section] = {"FINDING": "findings", "IMPRESSION": "impression", "CONCLUSION": "impression"}


@dataclass(frozen=True)
class Report:
    """Reads the text of some sections from the file of a report."""

    sections: tuple[Section, ...]

    def __call__(self, path: Path) -> str:
        """The text, "" where the report has none of these sections.

        Raises:
            Unreadable: there is no such file, or it is no text.
        """
        try:
            report = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise Unreadable("missing") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"no readable text: {error}") from error
        return joined(sections(report), self.sections)

    def path(self, path: Path) -> Path | None:
        """The file, or None where it has nothing to read; one that cannot be read is left for others to report."""
        try:
            return path if self(path) else None
        except Unreadable:
            return path


def sections(report: str) -> dict[Section, str]:
    """The text below the headings of a report, such as `IMPRESSION:`; equal headings are joined."""
    found: dict[Section, str] = {}
    _, *parts = _HEADING.split(report)
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        for start, name in _STARTS.items():
            if heading.upper().startswith(start):
                found[name] = f"{found.get(name, '')} {text}"
    return found


def joined(found: Mapping[Section, str], wanted: Sequence[Section]) -> str:
    """The cleaned text of the wanted sections, "" if there is none."""
    return clean(" ".join(found.get(name, "") for name in wanted))


def clean(text: str) -> str:
    """Without the marks that stand for removed names (XXXX, ___), without line breaks; "" if no word is left."""
    text = re.sub(r"\s+([.,;:)])", r"\1", " ".join(_MARK.sub(" ", text).split()))
    return text if any(c.isalnum() for c in text) else ""


def labels(rows: Sequence[Mapping[str, str]], uncertain: Literal["ones", "zeros"]) -> Array:
    """(N, 14) uint8 from rows with `CELLS`.

    A label is 1 (there), 0 (not there), -1 (uncertain) or blank (not mentioned, thus 0).
    """
    values = np.array([[float(row[name] or 0) for name in LABELS] for row in rows])
    return np.where(values < 0, uncertain == "ones", values).astype(np.uint8)


def divided(
    patients: Sequence[str], validation: float, test: float, seed: int, purpose: str, strata: Array | None = None
) -> Array:
    """(N,) `train`, `validation` or `test`, the same for all samples of a patient.

    Patients are drawn in a random order, and the borders are where the shares of the samples are reached, within half
    a patient. With strata (N,) this is done in each of them; a patient belongs to the largest of his or hers.
    """
    names, owners, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    groups = np.zeros(len(names), dtype=np.int64)
    if strata is not None:
        np.maximum.at(groups, owners, strata)
    splits = np.empty(len(names), dtype="U10")
    for group in np.unique(groups).tolist():
        order = stream(seed, purpose, "splits", group).permutation(np.flatnonzero(groups == group))
        middles = np.cumsum(sizes[order]) - sizes[order] / 2
        borders = np.array([1 - validation - test, 1 - test]) * sizes[order].sum()
        splits[order] = np.array(["train", "validation", "test"])[np.searchsorted(borders, middles, side="right")]
    return splits[owners]
