"""How trials went: metrics.jsonl, round by round."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Curve = dict[int, float]


@dataclass(frozen=True)
class Course:
    """A trial's rounds.

    Attributes:
        scores: metric -> round -> value on validation samples, for the rounds where it is defined.
        sent: round -> bytes up and down of all rounds until then.
    """

    scores: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
    sent: Curve = field(default_factory=dict[int, float])


def course(path: Path, metrics: Iterable[str], split: str = "validation") -> Course:
    """What a metrics.jsonl says of some metrics; nothing where there is none.

    A line that is not whole, of a trial under way, ends it.
    """
    scores: dict[str, Curve] = {metric: {} for metric in metrics}
    sent: Curve = {}
    total = 0
    for record in _records(path):
        number: int = record["round"]
        total += record.get("bytes_up", 0) + record.get("bytes_down", 0)
        sent[number] = total
        values: Mapping[str, float | None] = record.get(split) or {}
        for metric, curve in scores.items():
            if (value := values.get(metric)) is not None:
                curve[number] = value
    return Course(scores, sent)


def _records(path: Path) -> Iterable[Mapping[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)
