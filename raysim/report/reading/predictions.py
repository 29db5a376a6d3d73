"""What trials kept of their predictions (`raysim.simulation.predicted`), as it is read."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raysim.data.dataset import Array
from raysim.evaluation.scores import probabilities
from raysim.scenario.model import PREDICTIONS


class Unreadable(ValueError):
    """A file of predictions cannot be read; one line: which and why."""


@dataclass(frozen=True)
class Predictions:
    """A view.

    Attributes:
        logits: (N, C), or predictions of a regression (N, D).
        labels: (N,), (N, C) or (N, D).
        scored: (N,) bool, which samples of the split count.
        outcome: what is predicted, as `raysim.data.dataset.Outcome` has it.
        outputs: the C or D names.
    """

    logits: Array
    labels: Array
    scored: Array
    outcome: str
    outputs: tuple[str, ...]

    def at(self, rows: Array) -> "Predictions":
        """Some of the samples: (n,) row numbers, or (N,) bool."""
        return replace(self, logits=self.logits[rows], labels=self.labels[rows], scored=self.scored[rows])

    @property
    def scores(self) -> Array:
        """What metrics score: the probabilities (N, C); of a regression the predictions (N, D)."""
        if self.outcome == "regression":
            return self.logits
        return probabilities(self.logits, self.labels, multi_label=self.outcome == "multi_label")


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
    scored = found.get(f"{view}.scored", np.ones(len(labels), dtype=bool))
    return Predictions(logits, labels, scored, str(found["outcome"]), tuple(map(str, found["outputs"])))
