"""Tables of what trials cost: parameters, multiply-adds, bytes and time, and the same network by network.

A summary of an earlier version lacks some of these figures; what no trial has is left out.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from raysim.report.events import TrialInfo
from raysim.report.reading.arms import UnknownArm, matrix_axes
from raysim.report.reading.results import Results
from raysim.report.tables.fills import Point
from raysim.report.tables.marks import BOUND, named
from raysim.report.tables.tables import Table
from raysim.report.text import duration, label, size

Summary = Mapping[str, Any]
Figure = Callable[[TrialInfo, Summary], float | None]
Pair = tuple[TrialInfo, Summary]
Item = TypeVar("Item")
_FLOAT_BYTES = 4
_NONE = "-"


def amount(value: float) -> str:
    """A number as the papers' tables have it: `512`, `13.002 k`, `6.324 M`, `94.059 G`."""
    if abs(value) < 1000:
        return f"{value:.0f}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if abs(value) < 999.9995:
            return f"{value:.3f} {unit}"
    return f"{value / 1000:.3f} T"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _field(name: str) -> Figure:
    return lambda _, summary: summary.get(name)


def _multiply_adds(summary: Summary) -> Mapping[str, Any]:
    """What was counted; nothing where a method does not let itself be measured."""
    found: Mapping[str, Any] | None = summary.get("macs")
    return found or {}


def _macs(name: str) -> Figure:
    return lambda _, summary: _multiply_adds(summary).get(name)


def _a_round(name: str) -> Figure:
    return lambda trial, summary: summary[name] / trial.rounds if name in summary else None


_COSTS: tuple[tuple[str, Figure, Callable[[float], str]], ...] = (
    ("parameters", _field("parameters"), _count),
    ("MACs/sample", _macs("sample"), amount),
    ("MACs/round", _macs("round"), amount),
    ("steps", _field("steps"), _count),
    ("up/round", _a_round("bytes_up"), size),
    ("down/round", _a_round("bytes_down"), size),
    ("up", _field("bytes_up"), size),
    ("down", _field("bytes_down"), size),
    ("compute", _field("compute_s"), duration),
    ("time", _field("seconds_s"), duration),
    ("memory", _field("peak_bytes_rss"), size),
)
COSTS, MODULES, TRAFFIC = "cost of a trial, mean over seeds", "networks", "bytes of a trial by group, mean over trials"
"""What the tables' figures are."""
LEGEND = (
    "MACs: multiply-adds, of a prediction for one complete sample and of a mean round's training; up, down: bytes from "
    "and to all clients; compute: the clients' training times, summed; memory: the largest client "
    "process's own, at its peak since the trial began."
)


def cost_table(results: Results, scenario: str) -> Table | None:
    """A line a grid point, mean over seeds; None where nothing has finished."""
    points: dict[Point, list[Pair]] = {}
    for trial, summary in _finished(results, scenario):
        points.setdefault(tuple(trial.grid.items()), []).append((trial, summary))
    keys = tuple(dict.fromkeys(k for t in results.trials if t.scenario == scenario for k in t.grid))
    means = {n: [_mean(figure(t, s) for t, s in pairs) for pairs in points.values()] for n, figure, _ in _COSTS}
    bounds = results.bounds(scenario)
    shown = [(n, show) for n, _, show in _COSTS if any(v is not None for v in means[n])]
    lines = tuple(
        (*named(point, keys, scenario, bound=point in bounds), *(_shown(means[n][i], show) for n, show in shown))
        for i, point in enumerate(points)
    )
    header = keys or ("scenario",)
    return _table(scenario, COSTS, (*header, *(n for n, _ in shown)), lines, len(header)) if lines else None


def module_table(results: Results, scenario: str) -> Table | None:
    """Networks as in FIN's table 3 and FedRecon's table 4: parameters, size, multiply-adds of one sample.

    Sizes are of float32 in MiB: most of FedRecon's "MB" fit 2^20 bytes (22.16 M parameters, 84.63 MB), some 10^6. Arms
    with the same networks share their lines. None where no trial says what it consists of.
    """
    alike: dict[tuple[tuple[str, int, int | None], ...], list[str]] = {}
    for name, pairs in _arms(results, scenario).items():
        summary = pairs[0][1]
        macs: Mapping[str, int] = _multiply_adds(summary).get("by_group", {})
        parameters: Mapping[str, int] = summary.get("parameters_by_group", {})
        networks = tuple((n, p, macs.get(n)) for n, p in parameters.items())
        if networks:
            alike.setdefault(networks, []).append(_bound(name, pairs))
    lines = tuple(
        (name, *line)
        for networks, names in alike.items()
        for name, line in _once(", ".join(names), _networks(networks))
    )
    header = (_axis(results, scenario), "network", "parameters", "MiB", "MACs/sample")
    return _table(scenario, MODULES, header, lines, 2) if lines else None


def _networks(networks: Sequence[tuple[str, int, int | None]]) -> list[tuple[str, ...]]:
    """A line a network, or one for many that are alike; above several of one part their sum, and last that of all."""
    lines: list[tuple[str, ...]] = []
    for part, members in _parts([n for n, _, _ in networks]).items():
        own = [entry for entry in networks if entry[0] in members]
        if len(own) > 1:
            lines.append(_network(f"{part}.* ({len(own)})", sum(p for _, p, _ in own), None))
        if len(own) > 2 and len({entry[1:] for entry in own}) == 1:
            lines.append(_network(f"each {part}.*", *own[0][1:]))
        else:
            lines += [_network(*entry) for entry in own]
    return [*lines, _network("all", sum(p for _, p, _ in networks), None)]


def _network(name: str, parameters: int, macs: int | None) -> tuple[str, ...]:
    return name, amount(parameters), f"{_FLOAT_BYTES * parameters / 2**20:.2f}", "" if macs is None else amount(macs)


def traffic_table(results: Results, scenario: str, against: str | None = None, *, single: bool = True) -> Table | None:
    """Bytes of a trial by group, mean over an arm's trials, and in percent of what one arm sends of the same.

    Args:
        results: of a study.
        scenario: one of it.
        against: the arm to compare with; the one that sends most where None.
        single: False shows the sums of the groups' first parts alone.

    Raises:
        UnknownArm: nothing of the arm has finished.
    """
    found = _arms(results, scenario)
    arms = {name: _traffic([s for _, s in pairs], single=single) for name, pairs in found.items()}
    arms = {name: groups for name, groups in arms.items() if groups}
    if not arms:
        return None
    if against is not None and against not in arms:
        raise UnknownArm(f"{scenario}: has no finished '{against}' to compare with; there are: {', '.join(arms)}")
    most = against or max(arms, key=lambda name: sum(arms[name]["all"]))
    lines = tuple(
        (name, group, *(size(v) for v in (down, up, down + up)), _share(down + up, sum(arms[most].get(group, (0,)))))
        for arm, groups in arms.items()
        for name, (group, (down, up)) in _once(_bound(arm, found[arm]), list(groups.items()))
    )
    header = (_axis(results, scenario), "group", "down", "up", "together", f"of {most}")
    return _table(scenario, TRAFFIC, header, lines, 2)


def _once(name: str, lines: Sequence[Item]) -> Iterator[tuple[str, Item]]:
    """The name beside the first line alone."""
    return zip((name, *[""] * (len(lines) - 1)), lines, strict=True)


def _traffic(summaries: Sequence[Summary], *, single: bool) -> dict[str, tuple[float, float]]:
    """Group -> mean bytes (down, up): of all, then part by part, the sum of a part's groups first."""
    tables: list[Mapping[str, Mapping[str, int]]] = [s["traffic"] for s in summaries if s.get("traffic")]
    if not tables:
        return {}
    mean: dict[str, tuple[float, float]] = {}
    for name in dict.fromkeys(n for table in tables for n in table):
        rows = [table.get(name, {"down": 0, "up": 0}) for table in tables]
        mean[name] = statistics.fmean(r["down"] for r in rows), statistics.fmean(r["up"] for r in rows)
    found = {"all": _sum(mean.values())}
    for part, members in _parts(list(mean)).items():
        if len(members) > 1:
            found[f"{part}.*"] = _sum(mean[n] for n in members)
        if single or len(members) == 1:
            found |= {n: mean[n] for n in members}
    return found


def _sum(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    several = list(pairs)
    return sum(down for down, _ in several), sum(up for _, up in several)


def _share(value: float, whole: float) -> str:
    return f"{100 * value / whole:.1f} %" if whole else _NONE


def _parts(names: Sequence[str]) -> dict[str, list[str]]:
    """The groups by the first part of their names, in order."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(name.partition(".")[0], []).append(name)
    return parts


def _finished(results: Results, scenario: str) -> list[Pair]:
    return [(trial, summary) for trial, summary in results.ordered if trial.scenario == scenario]


def _axis(results: Results, scenario: str) -> str:
    """The grid key that tells arms apart: where a matrix is shown, that of its lines."""
    trials = [t for t in results.trials if t.scenario == scenario]
    axes = matrix_axes(trials)
    keys = dict.fromkeys(k for t in trials for k in t.grid)
    return axes[0] if axes else next(iter(keys)) if len(keys) == 1 else "trial"


def _arms(results: Results, scenario: str) -> dict[str, list[Pair]]:
    """Arm -> its finished trials: all seeds and, where a matrix is shown, all columns."""
    axis = _axis(results, scenario)
    arms: dict[str, list[Pair]] = {}
    for trial, summary in _finished(results, scenario):
        arms.setdefault(trial.grid.get(axis) or label(trial.grid) or scenario, []).append((trial, summary))
    return arms


def _bound(name: str, pairs: Sequence[Pair]) -> str:
    """The arm's name, marked where it is no contestant."""
    return name + BOUND * all(summary.get("bound", False) for _, summary in pairs)


def _mean(values: Iterable[float | None]) -> float | None:
    """Over the trials that know the figure."""
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _shown(value: float | None, show: Callable[[float], str]) -> str:
    return _NONE if value is None else show(value)


def _table(title: str, caption: str, header: tuple[str, ...], lines: tuple[tuple[str, ...], ...], labels: int) -> Table:
    return Table(title, caption, header, lines, frozenset(), labels, labels)
