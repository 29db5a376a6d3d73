"""A study's results from Python, while it runs and after; see `raysim.api`."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from raysim.report.live.follow import at_work
from raysim.report.reading.copy import copied
from raysim.report.reading.folders import read

if TYPE_CHECKING:
    from raysim.predictor import Predictor

State = Literal["finished", "failed", "unfinished"]


@dataclass(frozen=True)
class Trial:
    """One trial of a study: a scenario with one choice of its grid and one seed.

    Attributes:
        folder: where its files are.
        scenario, name: the scenario's name, and the trial's, which is unique in it.
        state: `unfinished` where it has not begun, is under way or was stopped.
        seed, grid, error: its seed, grid key -> value as text, and why it failed, as far as it has ended.
    """

    folder: Path
    scenario: str
    name: str
    state: State
    seed: int | None = None
    grid: Mapping[str, str] | None = None
    error: str | None = None

    @property
    def rounds(self) -> int:
        """How many rounds are done."""
        return sum(1 for _ in self._records())

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json: the reported round, its figures, costs; empty while there is none."""
        path = self.folder / "summary.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def metrics(self) -> list[dict[str, Any]]:
        """A record a round that is done (`raysim.report.events.RoundFinished`), without its clients."""
        return [{k: v for k, v in record.items() if k != "clients"} for record in self._records()]

    def clients(self) -> list[dict[str, Any]]:
        """A row for each client and round: `round`, `id`, `samples`, `steps`, `loss` by stage, bytes, seconds."""
        return [{"round": record["round"], **row} for record in self._records() for row in record["clients"]]

    def client_scores(self) -> list[dict[str, Any]]:
        """Clients judged by rows of their own in the reported round, a row for each split and client.

        As in clients.csv: `split`, `client`, `id` in the data (None without names), `role`, `rows`, and each metric,
        None where it is undefined. Empty while there are none, or where no client keeps rows.
        """
        path = self.folder / "clients.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [_client_row(row) for row in csv.DictReader(file)]

    def predictor(self) -> "Predictor":
        """Its networks, for use.

        Raises:
            ModelError: it kept none, or has not finished.
        """
        from raysim.predictor import load as load_model

        return load_model(self.folder)

    def predictions(self) -> dict[str, Any] | None:
        """What the reported round predicted for the test samples, as `raysim.simulation.predicted` names the arrays.

        `test` (N, C) float16 and so on; None where none are kept.

        Raises:
            ValueError: the file is damaged.
        """
        from raysim.report.reading.predictions import arrays

        return arrays(self.folder)

    def _records(self) -> Iterator[dict[str, Any]]:
        path = self.folder / "metrics.jsonl"
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # else it is being written
                    yield json.loads(line)


def _typed(grid: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A grid's values, as numbers where they are shown as such: not where a label stands for one."""
    found: dict[str, Any] = dict(grid)
    for key, text in grid.items():
        value: Any = settings
        for part in key.split("."):
            value = cast("Mapping[str, Any]", value).get(part) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and _number(text) == value:
            found[key] = value
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _client_row(said: Mapping[str, str]) -> dict[str, Any]:
    """A line of clients.csv with its numbers as such."""
    texts = {"split": said["split"], "client": int(said["client"]), "id": said["id"] or None, "role": said["role"]}
    figures = {name: float(value) if value else None for name, value in said.items() if name not in (*texts, "rows")}
    return {**texts, "rows": int(said["rows"]), **figures}


@dataclass(frozen=True)
class Study:
    """A study's folder, read anew whenever it is asked: also while another process works there.

    Attributes:
        folder: where `raysim run` or `run` wrote it; of one at a URL the copy on this machine.
    """

    folder: Path

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, in the order of the study."""
        found = read([self.folder])
        ended = {(t.scenario, t.name): t for t in found.results.trials}
        errors = {(t.scenario, t.name): error for t, error in found.results.failures}
        return tuple(
            Trial(
                self.folder / scenario / name, scenario, name,
                "unfinished" if info is None else "failed" if (scenario, name) in errors else "finished",
                info and info.seed, info and dict(info.grid), errors.get((scenario, name)),
            )
            for scenario, name in found.places
            for info in [ended.get((scenario, name))]
        )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether a process works on it now."""
        return at_work(self.folder) is not None

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials that failed."""
        return tuple(trial for trial in self.trials if trial.state == "failed")

    def rows(self) -> list[dict[str, Any]]:
        """As in summary.csv: scenario, trial, seed, the grid's keys, split, metric, value (None where undefined).

        What a grid sets to a number is one here.
        """
        study = read([self.folder])
        results = study.results
        places = {(t.scenario, t.name): t for t in results.trials}
        grids = {place: _typed(t.grid, study.settings[place]) for place, t in places.items()}
        return [
            {
                "scenario": row.trial.scenario, "trial": row.trial.name, "seed": row.trial.seed,
                **grids[row.trial.scenario, row.trial.name],
                "split": row.split, "metric": row.metric, "value": row.value,
            }
            for row in (*results.rows, *results.generated, *results.pairs)
        ]  # fmt: skip

    def frame(self) -> Any:
        """The rows as a pandas.DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas  # pyright: ignore[reportMissingImports] - the user's

        return cast(Any, pandas).DataFrame(self.rows())


def open(folder: str | Path) -> Study:
    """A study that is there already, finished or under way, in a folder or at a URL, of which a copy is taken then.

    Raises:
        FolderError: the folder holds no study, or the URL cannot be read.
    """
    study = Study(copied(folder))
    read([study.folder])
    return study
