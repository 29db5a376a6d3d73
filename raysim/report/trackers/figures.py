"""What trackers are told, as flat names: parameters of a run, figures of a round, and what is reported of a trial."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from raysim.report.trackers.base import Parameter
from raysim.scenario.identity import flat

_NO_COST = ("round", "seed", "bit_comparable")


def parameters(scenario: Mapping[str, Any], seed: int, grid: Mapping[str, str]) -> dict[str, Parameter]:
    """A scenario's settings by dotted keys, but for prose and the trackers; lists as JSON, nothing as `null`."""
    kept = {key: value for key, value in scenario.items() if key not in ("seeds", "tracking", "description")}
    found = {key: value if isinstance(value, Parameter) else json.dumps(value) for key, value in flat(kept)}
    return found | {"seed": seed} | {f"grid.{key}": text for key, text in grid.items()}


def of_round(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a line of metrics.jsonl.

    `loss/<stage>`, `<split>/<metric>`, `examined/<subject>/<figure>`, `generation/<subject>/<figure>`; bytes and
    seconds as `cost/bytes_up`, `cost/train_s`; `clients/cohort`, and `clients/skipped` where there are any.
    """
    counts = {"cohort": len(record["cohort"])} | ({"skipped": len(record["skipped"])} if record.get("skipped") else {})
    return dict(_numbers(_grouped(record) | {"clients": counts}))


def reported(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a trial's summary: `reported/<split>/<metric>`, `reported/round`, `reported/cost/bytes_up` ...

    What was measured of generation stands under `reported/generation`, what the method says of itself under
    `reported/examined`.
    """
    splits: Mapping[str, Any] = summary["splits"]
    rest = {key: value for key, value in _grouped(summary).items() if key != "splits"}
    return dict(_numbers({"round": summary["round"], **rest, **splits}, "reported"))


def _grouped(record: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings as they are, and what stands beside them together as `cost`."""
    inner: dict[str, Any] = {key: value for key, value in record.items() if isinstance(value, Mapping)}
    cost = {key: value for key, value in record.items() if key not in (*inner, *_NO_COST)}
    return inner | {"cost": cost}


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """All that is a finite number, under the keys on the way to it."""
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            yield from _numbers(inner, f"{key}/{name}" if key else str(name))
    elif isinstance(value, int | float) and math.isfinite(value):
        yield key, float(value)
