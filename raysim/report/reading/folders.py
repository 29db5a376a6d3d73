"""Reading the folders of studies, finished or under way: what `raysim report` works on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from raysim.report.events import TrialInfo
from raysim.report.reading.folder import FORMAT, STUDY, FolderError
from raysim.report.reading.results import Results
from raysim.report.reading.urls import shown
from raysim.report.scores import over_clients
from raysim.scenario.identity import conditions, differences
from raysim.scenario.schema import LOSS, metric_label


@dataclass
class Study:
    """One or several parts of a study.

    Attributes:
        results: the trials that ended.
        planned: scenario -> how many trials it has, those included that have not begun.
        places: (scenario, trial) of each trial, in the order of the study.
        folders: (scenario, trial) -> the folder of a trial that ended.
        settings: likewise -> what its scenario says.
        outs: the folders that were read.
        homes: scenario -> its folders in them; one that is kept apart has a name of its own.
        notes: what the reader should know, a line each.
    """

    results: Results = field(default_factory=Results)
    planned: dict[str, int] = field(default_factory=dict[str, int])
    places: tuple[tuple[str, str], ...] = ()
    folders: dict[tuple[str, str], Path] = field(default_factory=dict[tuple[str, str], Path])
    settings: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict[tuple[str, str], Mapping[str, Any]])
    outs: tuple[Path, ...] = ()
    homes: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Found:
    """A trial in one folder; `summary` is None while it is under way."""

    folder: Path
    settings: Mapping[str, Any]
    summary: Mapping[str, Any] | None

    @property
    def grid(self) -> Mapping[str, Any]:
        """Its grid's keys and values, as far as it has ended."""
        return _fields(_fields(self.summary).get("grid"))


def read(outs: Sequence[Path]) -> Study:
    """Merges what some folders hold. A trial that several have finished counts once: in the first of them.

    A scenario whose trials of the same name, or whose data, are others than in the folders before is kept apart.

    Raises:
        FolderError: a folder is none or holds no study; one line.
    """
    study = Study(outs=tuple(dict.fromkeys(outs)))
    table: dict[tuple[str, str], list[_Found]] = {}
    for out in study.outs:
        here: dict[str, dict[str, _Found]] = {}
        for (scenario, trial), settings in _trials(out):
            folder = out / scenario / trial
            here.setdefault(scenario, {})[trial] = _Found(folder, settings, _summary(folder, study.notes))
        for scenario, own in here.items():
            before = {trial: several[0] for (name, trial), several in table.items() if name == scenario}
            name = scenario
            if reason := _unlike(before, own):
                name = f"{scenario} ({out})"
                study.notes.append(f"{out / scenario}: is kept apart from {study.homes[scenario][0]}: {reason}")
            study.homes.setdefault(name, []).append(out / scenario)
            for trial, found in own.items():
                table.setdefault((name, trial), []).append(found)
    infos: list[TrialInfo] = []
    study.places = tuple(table)
    for place, several in table.items():
        study.planned[place[0]] = study.planned.get(place[0], 0) + 1
        chosen = _chosen(place, several, study.notes)
        if chosen.summary is not None:
            infos.append(_info(place, chosen, chosen.summary))
            study.folders[place], study.settings[place] = chosen.folder, chosen.settings
            _keep(study.results, infos[-1], chosen.summary)
    study.results.trials = tuple(infos)
    study.results.out = ", ".join(map(shown, study.outs))
    return study


def _unlike(before: Mapping[str, _Found], own: Mapping[str, _Found]) -> str:
    """Why a scenario's trials do not belong to those of the same scenario before; empty where they do."""
    for trial, found in own.items():
        if trial in before:
            change = next(differences([(trial, before[trial].settings)], [(trial, found.settings)]), "")
            if change:
                return change
    there, here = _data(before), _data(own)
    varied = any(k.partition(".")[0] in ("dataset", "modalities") for f in own.values() for k in f.grid)
    # Where a folder has several data sets its arms choose them.
    return "its data is another" if len(there) == len(here) == 1 and there != here and not varied else ""


def _data(trials: Mapping[str, _Found]) -> set[str]:
    """The checksums of the data of finished trials, as far as they are known."""
    origins = (_fields(_fields(found.summary).get("origin")) for found in trials.values())
    return {str(origin["data"]) for origin in origins if "data" in origin}


def _trials(out: Path) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """(scenario, trial) and its settings, in the order of the study."""
    try:
        data: Any = json.loads((out / STUDY).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        what = "holds no study" if out.is_dir() else "there is no such folder"
        raise FolderError(f"{shown(out)}: {what}; name a folder that `raysim run` wrote") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no JSON"
        raise FolderError(f"{out / STUDY}: {reason}; name a folder that `raysim run` wrote") from error
    if _fields(data).get("format") != FORMAT:
        raise FolderError(f"{out / STUDY}: is of another version of raysim; report it with that one")
    trials: Mapping[str, Mapping[str, Any]] = data["trials"]
    for name, settings in trials.items():
        scenario, _, trial = name.partition("/")
        yield (scenario, trial), settings


def _summary(folder: Path, notes: list[str]) -> Mapping[str, Any] | None:
    """A trial's summary; None while there is none, and with a note where it cannot be read."""
    path = folder / "summary.json"
    try:
        summary: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        notes.append(f"{path}: {getattr(error, 'strerror', None) or 'is no JSON'}; this trial is left out")
        return None
    if lacking := _lacking(summary):
        notes.append(f"{path}: has no '{lacking}'; this trial is left out")
        return None
    return summary


def _lacking(summary: Any) -> str:
    """The first field that a report needs and that is not there as it should be; empty where all are."""
    fields = _fields(summary)
    result = ("error", str) if fields.get("status") == "failed" else ("splits", dict)
    needed: tuple[tuple[str, type], ...] = (("status", str), ("seed", int), ("grid", dict), result)
    return next((name for name, kind in needed if not isinstance(fields.get(name), kind)), "")


def _fields(value: Any) -> Mapping[str, Any]:
    """What a JSON object holds; nothing where it is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _chosen(place: tuple[str, str], several: Sequence[_Found], notes: list[str]) -> _Found:
    """The first that finished, else the first that failed, else any."""
    name, first = "/".join(place), several[0]
    ended = [f for f in several if f.summary is not None]
    finished = [f for f in ended if f.summary is not None and f.summary["status"] == "finished"]
    if len(finished) > 1:
        left = ", ".join(str(f.folder) for f in finished[1:])
        notes.append(f"{name}: is finished in several folders and counts once, in {finished[0].folder}, not in {left}")
    return next(iter((*finished, *ended, first)))


def _info(place: tuple[str, str], found: _Found, summary: Mapping[str, Any]) -> TrialInfo:
    evaluation = found.settings["evaluation"]
    metric, metrics = metric_label(evaluation["metric"]), tuple(map(metric_label, evaluation["metrics"]))
    scores = [*summary.get("splits", {}).values(), *over_clients(summary).values()]
    if any(metric not in values for values in scores):  # of a method without predictions
        metric, metrics = LOSS, (LOSS,)
    return TrialInfo(
        *place, summary["seed"], summary["grid"], _rounds(found), evaluation["select"], metric, metrics,
        tuple(summary.get("low", (LOSS,))), conditions(found.settings),
    )  # fmt: skip


def _rounds(found: _Found) -> int:
    """Rounds of all phases: the lines of metrics.jsonl."""
    try:
        with (found.folder / "metrics.jsonl").open("rb") as file:
            return max(sum(1 for _ in file), 1)
    except OSError:
        return int(found.settings["federation"]["rounds"])


def _keep(results: Results, trial: TrialInfo, summary: Mapping[str, Any]) -> None:
    if summary["status"] == "finished":
        results.summaries.append((trial, summary))
    else:
        results.failures.append((trial, summary["error"]))
