"""The output folder: metrics.jsonl and summary.json a trial; of the study plan.json, summary.csv, report.md, curves."""

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from raysim.disk import naming, write
from raysim.report.events import (
    ClientsScored,
    Event,
    FeaturesTaken,
    ModelKept,
    PicturesMade,
    PredictionsKept,
    RoundFinished,
    StudyFinished,
    StudyPlanned,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
)
from raysim.report.figures.drawing import CURVES, MADE, OVERVIEW, curves_there, draw, grids_title
from raysim.report.figures.grids import ROUND, shows
from raysim.report.reading.results import Results
from raysim.report.render.csv import clients_csv, subsets_csv, summary_csv
from raysim.report.render.markdown import report
from raysim.scenario.model import CLIENTS, MODEL, PREDICTIONS

SUMMARY, PLAN = "summary.json", "plan.json"
CLIENT_SCORES, SUBSET_SCORES = "clients.csv", "subsets.csv"


class FileSink:
    """Writes results as they come, so that a stop loses nothing but the picture of the curves.

    Args:
        out: the study's folder; made when first needed.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._results = Results()

    def handle(self, event: Event) -> None:
        """Writes what the event adds."""
        self._results.fold(event)
        match event:
            case StudyPlanned():
                self._out.mkdir(parents=True, exist_ok=True)
                write(self._out / PLAN, json.dumps(_jsonable(event.plan), indent=2, allow_nan=False).encode() + b"\n")
            case TrialStarted():
                for name in (SUMMARY, PREDICTIONS):  # of fewer rounds, or of a failure
                    (self._folder(event.trial) / name).unlink(missing_ok=True)
                cut(self._folder(event.trial) / "metrics.jsonl", len(event.done))
            case RoundFinished():
                path = self._folder(event.trial) / "metrics.jsonl"
                text = _line(event.record)
                with naming(path), path.open("a", encoding="utf-8") as file:  # closed at once: it is on its way
                    file.write(text)
            case FeaturesTaken() | PicturesMade() | ModelKept() | ClientsScored() | PredictionsKept():
                self._keep(event)
            case TrialFinished() | TrialFailed():
                self._finish(event)
            case StudyFinished():
                if not event.interrupted:  # matplotlib takes seconds, and Ctrl-C should not
                    self._draw()
                self._write_tables()
            case _:
                pass

    def _keep(self, event: FeaturesTaken | PicturesMade | ModelKept | ClientsScored | PredictionsKept) -> None:
        """A file of arrays, or a table."""
        folder = self._folder(event.trial)
        match event:
            case FeaturesTaken():
                write(folder / "features.npz", packed(event.arrays))
            case PicturesMade() if shows(event.arrays):
                write(folder / MADE, packed({**event.arrays, ROUND: np.array(event.round)}))
            case PredictionsKept():
                write(folder / PREDICTIONS, packed({**event.arrays, ROUND: np.array(event.round)}))
            case ModelKept():
                write(folder / MODEL, event.data)
                if event.private:
                    write(folder / CLIENTS, packed(event.private))
            case ClientsScored():
                write(folder / CLIENT_SCORES, clients_csv(event).encode())
            case _:
                pass

    def close(self) -> None:
        """Nothing is held open."""

    def _folder(self, trial: TrialInfo) -> Path:
        folder = self._out / trial.scenario / trial.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _finish(self, event: TrialFinished | TrialFailed) -> None:
        trial = event.trial
        match event:
            case TrialFinished(earlier=True):
                return
            case TrialFinished():
                summary: Mapping[str, Any] = {"status": "finished", **event.summary}
            case TrialFailed():
                summary = {"status": "failed", "error": event.error, "details": event.details}
        identity = {"scenario": trial.scenario, "trial": trial.name, "seed": trial.seed, "grid": trial.grid}
        text = json.dumps(_jsonable({**identity, **summary}), indent=2, allow_nan=False) + "\n"
        write(self._folder(trial) / SUMMARY, text.encode())
        if "subsets" in summary:
            write(self._folder(trial) / SUBSET_SCORES, subsets_csv(summary["subsets"]).encode())
        self._write_tables()

    def _write_tables(self) -> None:
        self._out.mkdir(parents=True, exist_ok=True)
        write(self._out / "summary.csv", summary_csv(self._results).encode())
        scenarios = self._results.scenarios
        learnt = [s for s in scenarios if (self._out / s / CURVES).exists()]
        more = {s: [(title, str(path.relative_to(self._out))) for title, path in self._made(s)] for s in scenarios}
        write(self._out / "report.md", report(self._results, learnt, more=more).encode())

    def _made(self, scenario: str) -> list[tuple[str, Path]]:
        """Title and path of the pictures of what was made."""
        names = [t.name for t in self._results.trials if t.scenario == scenario]
        grids = [(grids_title(name), self._out / scenario / name / OVERVIEW) for name in names]
        return [*curves_there(self._out, scenario), *((title, path) for title, path in grids if path.exists())]

    def _draw(self) -> None:
        for scenario in self._results.scenarios:
            finished = [t for t, _ in self._results.ordered if t.scenario == scenario]
            trials = [t for t in self._results.trials if t.scenario == scenario]
            draw(self._out, scenario, finished or trials)  # a part of a curve would shorten the mean


def finished(out: Path, trial: TrialInfo) -> Mapping[str, Any] | None:
    """The summary of a trial that an earlier run has finished with all its rounds."""
    summary = _summary(out, trial)
    return summary if rounds_done(out, trial) in (None, trial.rounds) else None


def rounds_done(out: Path, trial: TrialInfo) -> int | None:
    """How many rounds a trial has that an earlier run has finished; None where there is none, or nothing of them."""
    path = out / trial.scenario / trial.name / "metrics.jsonl"
    if _summary(out, trial) is None or not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _summary(out: Path, trial: TrialInfo) -> Mapping[str, Any] | None:
    try:
        summary: Mapping[str, Any] = json.loads((out / trial.scenario / trial.name / SUMMARY).read_bytes())
    except (FileNotFoundError, ValueError):  # written as a whole or not at all; what else there may be is written anew
        return None
    return summary if summary.get("status") == "finished" else None


def packed(arrays: Mapping[str, Any]) -> bytes:
    """An `.npz` of arrays by any names; numpy's own function takes none that one of its arguments has."""
    content, format_ = io.BytesIO(), cast(Any, np.lib.format)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                format_.write_array(file, np.asanyarray(array), allow_pickle=False)
    return content.getvalue()


def cut(path: Path, lines: int) -> None:
    """Leaves the first lines of a file, where there is one."""
    if path.exists():
        with path.open("rb+") as file:
            for _ in range(lines):
                file.readline()
            file.truncate(file.tell())


def _line(record: Mapping[str, Any]) -> str:
    try:
        return json.dumps(record, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_jsonable(record), allow_nan=False) + "\n"


def _jsonable(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in cast("Sequence[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
