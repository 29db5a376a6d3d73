"""raysim from Python: run scenarios, look at studies while they run and after, and use what they trained.

    import raysim

    study = raysim.run("quickstart", out="results/first", overrides={"federation.rounds": 5})
    for row in study.rows():
        print(row["method"], row["split"], row["metric"], row["value"])
    model = study.trials[0].predictor()

Imports neither torch nor ray until something runs.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from raysim.engine.environment import use_own_cluster
from raysim.engine.knock import meant
from raysim.report.events import Doing, Sink, Warned
from raysim.report.live.again import Again
from raysim.report.mirror import Mirror, target
from raysim.report.reading.folder import fresh, opened
from raysim.report.text import counted
from raysim.results import Study
from raysim.scenario.check import check
from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.shipped import located
from raysim.scenario.source import inline, write
from raysim.scenario.tracking import tracked
from raysim.scenario.trial import Trial as Planned
from raysim.scenario.trial import load
from raysim.simulation.loaded import read_ahead

Scenario = str | Path | Mapping[str, Any]
"""A file, the name of a scenario that comes with raysim, YAML text of several lines, or what such text says."""
Overrides = Mapping[str, Any] | Sequence[str]
"""Dotted keys and values, or texts `key=value` as for `--set`."""
Progress = Literal["auto", "rich", "plain", "none"]


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
    alone: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """Runs trials in a folder that is held, and that has a mirror; as `raysim.engine.study.run_study` does.

    `alone` is called first of all where Ray is to be started here.
    """
    address, warning = meant(address)
    if address is None:
        if alone is not None:
            alone()
        use_own_cluster()
    from raysim.report.sinks import open_sinks

    tracking = {trial.scenario.name: trial.scenario.tracking for trial in trials}
    told = [*open_sinks(progress, folder, tracking, again, mirror), *sinks]
    count = counted(len(trials), "trial")
    try:
        for sink in told:  # before what takes seconds
            sink.handle(Doing(f"reading the data of {count} and {'reaching' if address else 'starting'} Ray"))
            if warning:
                sink.handle(Warned(warning))
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
    from raysim.simulation.fitting import check_kinds

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
