"""Whether a trial's method can do what its scenario asks of it; each check raises a `ScenarioError` otherwise."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch

from raysim.data.dataset import DataError
from raysim.data.federated import Federated
from raysim.draws import undisturbed
from raysim.method import Method, Phase, Train
from raysim.models.task import Task
from raysim.scenario.clients import PerSample
from raysim.scenario.errors import ScenarioError
from raysim.scenario.schedule import Constant
from raysim.scenario.trial import Trial
from raysim.simulation.loaded import data_key
from raysim.simulation.serving import unjudged
from raysim.training.cost import private_asked
from raysim.training.job import Job, groups_of, rounds_of
from raysim.training.kept import ModelError
from raysim.training.results import ClientFailure

LEAST_RATE = 1e-12
"""A learning rate below this changes no float32 weight that matters."""


@contextmanager
def asking(trial: Trial, method: Method) -> Generator[None]:
    """What the method's own code raises inside by mistake is said in one line, with its place.

    Raises:
        ScenarioError: it has raised.
    """
    try:
        yield
    except (ScenarioError, DataError, ModelError):
        raise
    except Exception as error:  # whatever an author's code raises
        raise trial.error("method", ClientFailure.of(error, (), 0, "", type(method)).reason) from error


def check_judged(trial: Trial, method: Method, task: Task, data: Federated) -> None:
    """Whether networks that stay with clients, where predictions ask for them, are judged there and by nothing else."""
    if not (method.has("modules") and _keeps_some(trial, method, task)):
        return
    with undisturbed():
        threads = torch.get_num_threads()
        try:
            personal = private_asked(Job(trial, data))
        finally:
            torch.set_num_threads(threads)
    evaluation, which = trial.scenario.evaluation, ", ".join(personal)
    if not personal:
        return
    if evaluation.clients is None:
        raise trial.error("evaluation.clients", unjudged(personal))
    for key, asked in (("subsets", evaluation.subsets != "none"), ("features", bool(evaluation.features))):
        if asked:
            raise trial.error(
                f"evaluation.{key}",
                f"are of the server's networks, and {which} of '{trial.scenario.method.name}' stay with the clients; "
                "remove it",
            )


_private: dict[str, bool] = {}
"""By data, method and model: whether clients have networks of their own. Many trials are alike in these."""


def _keeps_some(trial: Trial, method: Method, task: Task) -> bool:
    scenario = trial.scenario
    said = [section.model_dump(mode="json") for section in (scenario.method, scenario.model)]
    key = json.dumps([data_key(scenario), *said])
    if key not in _private:
        with asking(trial, method), undisturbed():
            _private[key] = any(not group.shared for group in groups_of(method, task).values())
    return _private[key]


def check_tunable(trial: Trial, method: Method, task: Task) -> None:
    """Whether what clients fine-tune before they are judged is there."""
    wish = trial.scenario.evaluation.clients
    if wish is None or wish.tuning is None:
        return
    with asking(trial, method), undisturbed():
        there, stages = groups_of(method, task), method.personalise()
    for stage in stages:
        for glob in stage.globs if isinstance(stage, Train) else ():
            if not any(glob == name or fnmatchcase(name, glob) for name in there):
                raise trial.error(
                    "evaluation.clients.personalise",
                    f"fine-tunes '{glob}', and '{trial.scenario.method.name}' has no such network; remove it, or give "
                    "the method a hook personalise",
                )


def check_moving(trial: Trial, phases: Sequence[Phase]) -> None:
    """Whether every optimiser's rate stays above nothing in all rounds: some algorithms divide by it."""
    for phase in phases:
        objectives = [o for stage in phase.stages if isinstance(stage, Train) for o in stage.objectives]
        length = rounds_of(phase, trial.scenario)
        for own in dict.fromkeys(o.optimizer for o in objectives):
            spec = own or trial.scenario.federation.optimizer
            times = () if isinstance(spec.schedule, Constant) else range(length)
            stopped = next((at for at in times if spec.schedule.rate(spec.lr, at, length) < LEAST_RATE), None)
            if stopped is not None:
                raise trial.error(
                    "method" if own else "federation.optimizer.schedule",
                    f"'{spec.schedule.name}' has no learning rate left in round {stopped + 1} of {length} of phase "
                    f"'{phase.name}'; let it fall later, or less",
                )


def check_lasting(trial: Trial, phases: Sequence[Phase]) -> None:
    """Whether clients keep nothing that they compute of modalities which later are others."""
    missing = trial.scenario.missing
    if not isinstance(missing, PerSample) or missing.changing is None:
        return
    for phase in phases:
        for stage in phase.stages:
            if isinstance(stage, Train) and stage.derive is not None and stage.derive.every == "phase":
                raise trial.error(
                    "missing.changing",
                    f"stage '{stage.name}' of '{trial.scenario.method.name}' computes once for all rounds what follows "
                    "from the modalities that are there; remove it, or use another method",
                )


def check_startable(trial: Trial, method: Method, task: Task) -> None:
    """Whether the networks can begin as the scenario says."""
    if trial.scenario.model.start is not None:
        try:
            with asking(trial, method), torch.random.fork_rng(devices=[]):
                groups_of(method, task)
        except ModelError as error:
            raise trial.error("model.start", str(error)) from error
