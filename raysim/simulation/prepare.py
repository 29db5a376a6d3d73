"""A trial before anything starts: its data is read and dealt out, and what can go wrong is asked."""

from dataclasses import dataclass, replace
from threading import Lock

from raysim.data.dataset import DataError, Dataset
from raysim.data.dealing import federate
from raysim.data.federated import Federated
from raysim.data.missing import Mask
from raysim.evaluation import measured
from raysim.generation.plan import kinds_of
from raysim.report.events import TrialInfo
from raysim.scenario.check import check_clients
from raysim.scenario.identity import conditions, settings
from raysim.scenario.trial import Trial
from raysim.simulation import loaded
from raysim.simulation.feasible import asking, check_judged, check_lasting, check_moving, check_startable, check_tunable
from raysim.simulation.fitting import check_generation, check_judgeable, check_measurable, check_model, try_model
from raysim.simulation.loaded import data_key, dataset_of
from raysim.simulation.outcome import check_outcome
from raysim.training.job import method_of, metrics_of, rounds_of, task_of

KEPT_BYTES = 50_000_000
"""Of what was dealt out, for trials before the newest."""
CLIENT_BYTES = 200
"""Of a client, about: its rows are an array of their own."""


@dataclass(frozen=True)
class Prepared:
    """A trial that can start."""

    trial: Trial
    info: TrialInfo
    data: Federated


def prepare(trial: Trial) -> Prepared:
    """Loads a trial's data, deals it out and asks the method; once, while there is room to keep what comes of it.

    Raises:
        ScenarioError: something does not fit, with its place in the scenario.
    """
    found = _kept.get(id(trial))
    if found is None or found.trial is not trial:
        found = _prepared(trial)
        _keep(found)
    return found


def _prepared(trial: Trial) -> Prepared:
    scenario = trial.scenario
    try:
        dataset = dataset_of(data_key(scenario))
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
    method = method_of(scenario)
    check_outcome(trial, dataset)
    if not method.has("losses"):
        check_measurable(trial, dataset)
    task = task_of(scenario, dataset)
    modalities = dataset.modalities
    kinds = kinds_of(modalities)
    shapes = {m: spec.shape for m, spec in modalities.items()}
    check_model(trial, kinds, shapes)
    try_model(trial, modalities)
    check_generation(trial, method, kinds, shapes, modalities)
    if scenario.evaluation.generation is not None:
        check_judgeable(trial, dataset, judges=scenario.evaluation.generation.judges)
    with asking(trial, method):
        try:
            method.check(task)
            phases = method.phases(task)
        except ValueError as error:  # it refuses
            raise trial.error("method", str(error)) from error
    check_startable(trial, method, task)
    check_moving(trial, phases)
    check_lasting(trial, phases)

    def observe(mask: Mask, present: Mask) -> Mask:
        with asking(trial, method):
            return method.observe(mask, present, task)

    try:
        data = federate(dataset, scenario, trial.seed, observe)
    except DataError as error:
        raise trial.error(error.section or "partition", str(error)) from error
    check_clients(trial, data.clients)
    check_judged(trial, method, task, data)
    check_tunable(trial, method, task)
    metric, names = metrics_of(method, scenario)
    info = TrialInfo(
        scenario=scenario.name, name=trial.name, seed=trial.seed, grid=trial.grid,
        rounds=sum(rounds_of(p, scenario) for p in phases), select=scenario.evaluation.select, metric=metric,
        metrics=names, low=measured.low(scenario.evaluation.metrics), conditions=conditions(settings(trial)),
    )  # fmt: skip
    return Prepared(trial, info, data)


_kept: dict[int, Prepared] = {}
"""By the trial's `id`: the newest, and others before it while they are small."""
_one_thread = Lock()


def _keep(made: Prepared) -> None:
    with _one_thread:
        _kept[id(made.trial)] = made
        while len(_kept) > 1 and sum(_bytes(each.data) for each in _kept.values()) > KEPT_BYTES:
            del _kept[next(iter(_kept))]


def _bytes(data: Federated) -> int:
    """About what dealing data out has made."""
    arrays = (data.mask, data.rows, data.offsets, *(view.mask for view in data.views.values()))
    return sum(array.nbytes for array in arrays) + CLIENT_BYTES * data.clients


def instead(key: str, dataset: Dataset) -> None:
    """From now on a dataset that was loaded is this one, which is equal and lies in memory that others share."""
    loaded.instead(key, dataset)
    with _one_thread:
        for number, made in _kept.items():
            if data_key(made.trial.scenario) == key:
                _kept[number] = replace(made, data=replace(made.data, dataset=dataset))


def forget() -> None:
    """Nothing stays loaded, for lack of the memory that it was in."""
    loaded.forget()
    let_go()


def let_go() -> None:
    """What was dealt out is not kept; the data stays."""
    with _one_thread:
        _kept.clear()
