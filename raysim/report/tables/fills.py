"""What methods fill in, and what had nobody to learn from: effective missing rates, untaught networks, own figures."""

import statistics
from collections.abc import Iterable, Mapping

from raysim.report.reading.results import Results
from raysim.report.text import label, number

MEANINGS = {
    "error": "of what is decoded",
    "divergence": "twice that of the code's distribution from the prior",
    "held back": "the error on pairs that clients held back",
    "class mean": "that of their class's mean on the same pairs",
    "left out": "the share of the clients for which a mapping does no better and fills nothing in",
}
"""Of the figures that generators and mappings have."""
Point = tuple[tuple[str, str], ...]
RATES = "missing: in effect, of what the data has, in training/at test"
_SPLITS = ("training", "test")


def effective_rates(results: Results, scenario: str) -> dict[Point, str]:
    """Grid point -> the share of what the data has that is hidden in training and at test, `0.456/0.451`.

    Means over seeds; nothing where no point of the scenario hides anything, and of bounds, which may not heed it.
    """
    found: dict[Point, list[Mapping[str, float]]] = {}
    bounds = results.bounds(scenario)
    for trial, summary in results.ordered:
        point = tuple(trial.grid.items())
        if trial.scenario == scenario and summary.get("hidden") and point not in bounds:
            found.setdefault(point, []).append(summary["hidden"])
    if not any(value for several in found.values() for hidden in several for value in hidden.values()):
        return {}
    return {p: "/".join(number(statistics.fmean(h[s] for h in hs)) for s in _SPLITS) for p, hs in found.items()}


def rates_legend(results: Results, scenario: str) -> str:
    """What `effective_rates` are, and what the data itself lacks, where it lacks anything and trials say it."""
    lacking: list[Mapping[str, float]] = [
        s["lacking"] for t, s in results.ordered if t.scenario == scenario and any(s.get("lacking", {}).values())
    ]
    shares = [sorted({number(said[split]) for said in lacking}) for split in _SPLITS] if lacking else []
    own = " and ".join(" to ".join(dict.fromkeys((several[0], several[-1]))) for several in shares)
    return f"{RATES}{f'; the data itself lacks {own} of all' * bool(own)}"


def untaught(results: Results, scenario: str) -> list[str]:
    """A line for each grid point and network that no client could train: it filled nothing in."""
    counts: dict[tuple[Point, str], list[int]] = {}
    for trial, summary in results.ordered:
        if trial.scenario == scenario:
            for network, clients in summary.get("teachers", {}).items():
                counts.setdefault((tuple(trial.grid.items()), network), []).append(clients)
    lines: dict[str, list[str]] = {}
    for (point, network), clients in counts.items():
        if 0 in clients:
            seeds = f" ({clients.count(0)} of {len(clients)} seeds)" if len(clients) > 1 else ""
            lines.setdefault(label(dict(point)), []).append(f"{network}{seeds}")
    return [f"{point}: {', '.join(networks)}".removeprefix(": ") for point, networks in lines.items()]


def legend(names: Iterable[str]) -> str:
    """What figures mean, as far as that is raysim's to say; empty where nothing is known."""
    return "; ".join(f"{name}: {MEANINGS[name]}" for name in names if name in MEANINGS)


def figures(results: Results, scenario: str) -> dict[tuple[Point, str], dict[str, float]]:
    """(grid point, subject) -> the method's own figures at the reported round, means over the seeds that have them."""
    found: dict[tuple[Point, str], dict[str, list[float]]] = {}
    for trial, summary in results.ordered:
        if trial.scenario == scenario:
            for subject, values in summary.get("examined", {}).items():
                place = found.setdefault((tuple(trial.grid.items()), subject), {})
                for name, value in values.items():
                    place.setdefault(name, []).append(value)
    return {place: {n: statistics.fmean(v) for n, v in values.items()} for place, values in found.items()}
