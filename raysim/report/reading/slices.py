"""Scores by client and by modality subset: the files clients.csv and subsets.csv of a trial's folder."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLIENTS, SUBSETS = "clients.csv", "subsets.csv"


@dataclass(frozen=True)
class Slice:
    """A line: its words, and its numbers where they are defined."""

    words: Mapping[str, str]
    numbers: Mapping[str, float]


def slices(path: Path) -> list[Slice]:
    """The lines of a file; none where it is not there."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_slice({k: v for k, v in row.items() if k and v is not None}) for row in csv.DictReader(file)]


def _slice(row: Mapping[str, str]) -> Slice:
    numbers = {name: value for name, text in row.items() if (value := _number(text)) is not None}
    return Slice(row, numbers)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def subset(line: Slice) -> frozenset[str]:
    """The modalities that are given in a line of subsets.csv, which stand there as `a+b`."""
    return frozenset(line.words.get("given", "").split("+")) - {""}
