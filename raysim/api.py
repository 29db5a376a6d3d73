"""raysim from Python: run scenarios, look at studies while they run and after, and use what they trained.

    import raysim

    study = raysim.run("quickstart", out="results/first", overrides={"federation.rounds": 5})
    for row in study.rows():
        print(row["method"], row["split"], row["metric"], row["value"])
    model = study.trials[0].predictor()

Imports neither torch nor ray until something runs.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from raysim.engine.environment import named, use_own_cluster
from raysim.report.events import Doing, Sink
from raysim.report.live.again import Again
from raysim.report.live.follow import at_work
from raysim.report.mirror import Mirror, target
from raysim.report.reading.copy import copied
from raysim.report.reading.folder import fresh, opened
from raysim.report.reading.folders import read
from raysim.report.text import counted
from raysim.scenario.check import check
from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.shipped import located
from raysim.scenario.source import inline, write
from raysim.scenario.tracking import tracked
from raysim.scenario.trial import Trial as Planned
from raysim.scenario.trial import load
from raysim.simulation.loaded import read_ahead

if TYPE_CHECKING:
    from raysim.predictor import Predictor

Scenario = str | Path | Mapping[str, Any]
"""A file, the name of a scenario that comes with raysim, YAML text of several lines, or what such text says."""
Overrides = Mapping[str, Any] | Sequence[str]
"""Dotted keys and values, or texts `key=value` as for `--set`."""
Progress = Literal["auto", "rich", "plain", "none"]
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


def run(
    *scenarios: Scenario,
    out: str | Path | None = None,
    overrides: Overrides = (),
    progress: Progress = "auto",
    resume: bool = False,
    address: str | None = None,
    wait_for_s: float = 0.0,
    track: Sequence[str] = (),
    sinks: Sequence[Sink] = (),
) -> Study:
    """Runs scenarios, as `raysim run` does, and returns when all their trials have ended.

    A Ray that this process has already is used and left as it is.

    Args:
        scenarios: what to run.
        out: the study's folder, or a URL that fsspec knows; `results/<name>-<time>` where None.
        overrides: fields to set, `{"federation.rounds": 3}`.
        progress: what to show meanwhile: `rich` or `plain`; `auto` is rich on a terminal; `none`.
        resume: whether to go on with the study in `out`.
        address: of a Ray cluster, `auto` or `HOST:PORT`; what RAY_ADDRESS says where None.
        wait_for_s: how long to wait for room there, a core or a GPU's share for each client actor that is asked for.
        track: trackers that are told, too, beside those of the scenarios (`raysim list trackers`).
        sinks: what else is told of all that happens: objects with `handle(event)` and `close()`, which are called in
            this thread (`raysim.report.events`).

    Raises:
        ScenarioError: a scenario is wrong; nothing has started then.
        FolderError: the folder cannot be used.
        NoCluster: Ray cannot be reached or started.
        KeyboardInterrupt: it was stopped; `resume` goes on.
        OSError: results cannot be written, or not all of them is at the URL; `resume` sends it.
    """
    if not scenarios:
        raise TypeError("run needs a scenario: a path, the name of a shipped one, YAML text or a mapping")
    studies = [trials_of(scenario, overrides, track) for scenario in scenarios]
    check_names(studies)
    trials = tuple(trial for study in studies for trial in study)
    name = trials[0].scenario.name if len(studies) == 1 else "study"
    folder, mirror = target(fresh(Path("results"), name) if out is None else Path(out), resume=resume)
    with opened(folder, trials, resume=resume, ours=out is None, mirror=mirror):
        if start(trials, folder, address, progress, Again.here(folder), sinks, wait_for_s, mirror) == 130:
            raise KeyboardInterrupt
    return Study(folder)


def start(
    trials: Sequence[Planned], folder: Path, address: str | None, progress: Progress, again: Again,
    sinks: Sequence[Sink] = (), wait_s: float = 0.0, mirror: Mirror | None = None,
) -> int:  # fmt: skip
    """Runs trials in a folder that is held, and that has a mirror; as `raysim.engine.study.run_study` does."""
    if (address := named(address)) is None:
        use_own_cluster()
    from raysim.report.sinks import open_sinks

    tracking = {trial.scenario.name: trial.scenario.tracking for trial in trials}
    told = [*open_sinks(progress, folder, tracking, again, mirror), *sinks]
    count = counted(len(trials), "trial")
    try:
        for sink in told:  # before what takes seconds
            sink.handle(Doing(f"reading the data of {count} and {'reaching' if address else 'starting'} Ray"))
        from raysim.engine.study import run_study
        from raysim.planning.study import foreseen
    except BaseException:  # stopped by Ctrl-C
        for sink in told:
            sink.close()
        raise
    return run_study(
        trials, out=folder, address=address, sinks=told, again=again.go_on(), wait_s=wait_s, planner=foreseen
    )


def validate(scenario: Scenario, overrides: Overrides = (), track: Sequence[str] = ()) -> tuple[Planned, ...]:
    """Checks a scenario and all its trials, options of methods included, without running them.

    Where the data is here and small, or needs no reading, they are prepared as `run` does it first.

    Returns:
        The trials, with their resolved settings as `scenario`.

    Raises:
        ScenarioError: the first thing that is wrong, with its place.
    """
    from raysim.simulation.examine import examine

    trials = trials_of(scenario, overrides, track)
    examine(trials)
    return trials


def trials_of(
    scenario: Scenario, overrides: Overrides = (), track: Sequence[str] = (), *, ahead: bool = False
) -> tuple[Planned, ...]:
    """A scenario's trials, checked without their data, as `run` does before it starts anything.

    With `ahead` the first one's data is read meanwhile, for somebody who will ask for it.

    Raises:
        ScenarioError: the first thing that is wrong, with its place.
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{k}={_yaml(inline, v, k)}" for k, v in overrides.items()]
    texts = list(overrides)
    if isinstance(scenario, Mapping):
        text = "".join(_yaml(write, {key: value}, key) for key, value in scenario.items())
        trials = load(Path("scenario"), texts, text)
    elif isinstance(scenario, str) and "\n" in scenario:
        trials = load(Path("scenario"), texts, scenario)
    else:
        trials = load(located(Path(scenario)), texts)
    trials = tracked(trials, track)
    if ahead:
        read_ahead(trials[0].scenario)
    from raysim.simulation.prepare import check_kinds

    for trial in trials:
        check(trial)
        check_kinds(trial)
    return trials


def _yaml(written: Callable[[Any], str], value: Any, key: str) -> str:
    try:
        return written(value)
    except TypeError as error:
        raise ScenarioError(Place("scenario"), key, str(error)) from error


def check_names(studies: Sequence[Sequence[Planned]]) -> None:
    """Whether no two scenarios share a name, which is also their folder's.

    Raises:
        ScenarioError: two do.
    """
    first: dict[str, Path] = {}
    for study in studies:
        name, path = study[0].scenario.name, study[0].source.path
        if name.lower() in first:
            other = first[name.lower()]
            raise study[0].error("name", f"'{name}' is also the name of {other}; give one another name")
        first[name.lower()] = path


def open(folder: str | Path) -> Study:
    """A study that is there already, finished or under way, in a folder or at a URL, of which a copy is taken then.

    Raises:
        FolderError: the folder holds no study, or the URL cannot be read.
    """
    study = Study(copied(folder))
    read([study.folder])
    return study
