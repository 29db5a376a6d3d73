"""What trials kept of their predictions (`raysim.simulation.predicted`), as it is read."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysim.data.dataset import Array
from raysim.scenario.model import PREDICTIONS


class Unreadable(ValueError):
    """A file of predictions cannot be read; one line: which and why."""


@dataclass(frozen=True)
class Predictions:
    """A view's logits (N, C) float16, labels (N,) or (N, C), and which samples of the split count, (N,) bool."""

    logits: Array
    labels: Array
    scored: Array

    @property
    def multi_label(self) -> bool:
        """Whether a sample may have several labels."""
        return self.labels.ndim == 2


def arrays(folder: Path) -> dict[str, Array] | None:
    """All arrays of a trial's file, or None where there is none.

    Raises:
        Unreadable: it is damaged.
    """
    path = folder / PREDICTIONS
    try:
        with np.load(path, allow_pickle=False) as opened:
            return dict(opened)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(f"{path}: cannot be read: {error}") from error


def of_view(found: Mapping[str, Array], view: str) -> Predictions | None:
    """A view's part of the arrays; None where they have nothing of it."""
    if view not in found:
        return None
    logits, labels = found[view], found["labels"]
    return Predictions(logits, labels, found.get(f"{view}.scored", np.ones(len(labels), dtype=bool)))
