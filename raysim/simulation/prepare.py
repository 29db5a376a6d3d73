"""What can go wrong with a trial before anything starts: its data, how it is dealt out, the method's word."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from threading import Lock

import torch

from raysim import registry
from raysim.data.dataset import DataError, Dataset, Kind, Modality, Source, check_names
from raysim.data.dealing import federate
from raysim.data.federated import Federated
from raysim.data.stored import check_stored
from raysim.draws import undisturbed
from raysim.evaluation import measured
from raysim.generation.plan import kinds_of, measured_rows, problems
from raysim.method import Method, Phase, Train
from raysim.models.encoders import check_built
from raysim.models.own import try_encoder, try_fusion
from raysim.models.sizes import check_sizes
from raysim.models.task import Task, check_augment, check_encoders, separate
from raysim.report.events import TrialInfo
from raysim.scenario.check import check_clients
from raysim.scenario.clients import PerSample
from raysim.scenario.identity import conditions, settings
from raysim.scenario.model import OwnEncoder, OwnFusion, Whole
from raysim.scenario.schedule import Constant
from raysim.scenario.schema import Metric, metric_label
from raysim.scenario.trial import Trial
from raysim.simulation import loaded
from raysim.simulation.loaded import data_key, dataset_of
from raysim.simulation.outcome import check_outcome
from raysim.simulation.serving import unjudged
from raysim.training.augment import own_augments, try_augment
from raysim.training.cost import private_asked
from raysim.training.job import Job, groups_of, method_of, metrics_of, rounds_of, task_of
from raysim.training.kept import ModelError

LEAST_RATE = 1e-12
"""A learning rate below this changes no float32 weight that matters."""

KEPT_BYTES = 50_000_000
"""Of what was dealt out, for trials before the newest."""
CLIENT_BYTES = 200
"""Of a client, about: its rows are an array of their own."""

REAL_METRICS = "write for example evaluation: {metrics: [mae, r2, pearson], metric: mae}"


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
        _measurable(trial, dataset)
    task = task_of(scenario, dataset)
    modalities = dataset.modalities
    kinds = kinds_of(modalities)
    shapes = {m: spec.shape for m, spec in modalities.items()}
    _suited_model(trial, kinds, shapes)
    _own_model(trial, modalities)
    _generation(trial, method, kinds, shapes, modalities)
    if scenario.evaluation.generation is not None:
        _judgeable(trial, dataset, judges=scenario.evaluation.generation.judges)
    try:
        method.check(task)
        phases = method.phases(task)
    except ValueError as error:
        raise trial.error("method", str(error)) from error
    _startable(trial, method, task)
    _moving(trial, phases)
    _lasting(trial, phases)
    try:
        data = federate(dataset, scenario, trial.seed, lambda mask, present: method.observe(mask, present, task))
    except DataError as error:
        raise trial.error(error.section or "partition", str(error)) from error
    check_clients(trial, data.clients)
    _judged_at_clients(trial, method, task, data)
    _tunable(trial, method, task)
    metric, names = metrics_of(method, scenario)
    info = TrialInfo(
        scenario=scenario.name, name=trial.name, seed=trial.seed, grid=trial.grid,
        rounds=sum(rounds_of(p, scenario) for p in phases), select=scenario.evaluation.select, metric=metric,
        metrics=names, low=measured.low(scenario.evaluation.metrics), conditions=conditions(settings(trial)),
    )  # fmt: skip
    return Prepared(trial, info, data)


def _judged_at_clients(trial: Trial, method: Method, task: Task, data: Federated) -> None:
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
        with undisturbed():
            _private[key] = any(not group.shared for group in groups_of(method, task).values())
    return _private[key]


def _tunable(trial: Trial, method: Method, task: Task) -> None:
    """Whether what clients fine-tune before they are judged is there."""
    wish = trial.scenario.evaluation.clients
    if wish is None or wish.tuning is None:
        return
    with undisturbed():
        there = groups_of(method, task)
    for stage in method.personalise():
        for glob in stage.globs if isinstance(stage, Train) else ():
            if not any(glob == name or fnmatchcase(name, glob) for name in there):
                raise trial.error(
                    "evaluation.clients.personalise",
                    f"fine-tunes '{glob}', and '{trial.scenario.method.name}' has no such network; remove it, or give "
                    "the method a hook personalise",
                )


def _moving(trial: Trial, phases: Sequence[Phase]) -> None:
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


def _lasting(trial: Trial, phases: Sequence[Phase]) -> None:
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


def _startable(trial: Trial, method: Method, task: Task) -> None:
    """Whether the networks can begin as the scenario says."""
    if trial.scenario.model.start is not None:
        try:
            with torch.random.fork_rng(devices=[]):
                groups_of(method, task)
        except ModelError as error:
            raise trial.error("model.start", str(error)) from error


def check_kinds(trial: Trial) -> None:
    """Whether method, encoders, files and data suit one another, as far as that is known without reading the data.

    Raises:
        ScenarioError: they do not.
    """
    source: type[Source] = registry.find("dataset", trial.scenario.dataset.name)
    try:
        data = source(registry.options(source, trial.scenario.dataset.options))
        known = data.kinds()
        if known is None:
            _stored(trial, trial.scenario.modalities)
            _generation(trial, method_of(trial.scenario))
            return
        wanted = trial.scenario.modalities or tuple(known)
        check_names(wanted, known)
        _stored(trial, wanted)
        shapes = data.shapes()
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
    kinds: dict[str, Kind] = {m: kind for m, kind in known.items() if m in wanted}
    _generation(trial, method_of(trial.scenario), kinds, shapes)
    method: type[Method] = registry.find("method", trial.scenario.method.name)
    if trial.scenario.evaluation.features and method.has("losses"):
        name = trial.scenario.method.name
        raise trial.error("evaluation.features", f"are of a task model, and '{name}' trains none; remove it")
    try:
        method.suits(kinds)
    except ValueError as error:
        raise trial.error("method", str(error)) from error
    _suited_model(trial, kinds, shapes)
    # How many tokens there are is not known yet; whole networks have a number of their own.
    whole = {m for m, spec in trial.scenario.model.encoders.items() if isinstance(spec, Whole)}
    seen = {m: Modality(k, shapes[m]) for m, k in kinds.items() if m in shapes and (k != "tokens" or m in whole)}
    _own_model(trial, seen, tuple(kinds))


def _stored(trial: Trial, modalities: tuple[str, ...] | None) -> None:
    """Whether the files of a partition and of masks say what they must."""
    clients = check_stored(trial.scenario, modalities)
    if clients is not None:
        check_clients(trial, clients)


def _generation(
    trial: Trial, method: Method, kinds: Mapping[str, Kind] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None, modalities: Mapping[str, Modality] | None = None,
) -> None:  # fmt: skip
    """Whether what is to be measured of a generator can be, as far as is known of the data before and after reading."""
    wanted = trial.scenario.evaluation.generation
    name = trial.scenario.method.name
    for key, problem in problems(wanted, method.generator, name, kinds, shapes or {}, modalities) if wanted else ():
        raise trial.error(f"evaluation.generation.{key}".rstrip("."), problem)


def _judgeable(trial: Trial, dataset: Dataset, *, judges: bool) -> None:
    """Whether there is anything to measure generation on, and to teach judges by."""
    problem = ""
    if not len(measured_rows(dataset, 1, trial.seed)):
        problem = "needs test samples with every modality, and there are none; remove it"
    for m, spec in dataset.modalities.items():
        if judges and spec.kind != "tokens" and not dataset.train.presence((m,)).any():
            problem = f"has judges learn from training samples, of which none has '{m}'; leave it out (modalities)"
    if problem:
        raise trial.error("evaluation.generation", problem)


def _measurable(trial: Trial, dataset: Dataset) -> None:
    """Whether metrics suit the data, and the validation samples can tell which round is the best."""
    choice, labels = trial.scenario.evaluation, dataset.validation.labels
    if dataset.targets and "metrics" not in choice.model_fields_set:
        raise trial.error("evaluation", f"of a regression needs metrics of numbers; {REAL_METRICS}")
    for i, metric in enumerate(choice.metrics):
        try:
            measured.check_suits(metric, dataset)
        except ValueError as error:
            raise trial.error(f"evaluation.metrics.{i}", str(error)) from error
    decisive = next(m for m in choice.metrics if metric_label(m) == choice.decisive)
    listed = not registry.is_own("metric", Metric.of(decisive).name)
    if choice.select == "best" and listed and not _defined(decisive, dataset):
        raise trial.error(
            "evaluation.metric",
            f"'{choice.metric}' is not defined on the {len(labels)} validation samples, which lack some outcome of "
            "every class; choose another metric, or set evaluation.select: last",
        )


def _defined(metric: str | Metric, dataset: Dataset) -> bool:
    scores, labels = measured.trial_run(dataset, dataset.validation.labels)
    return measured.compute([metric], scores, labels, dataset.outputs)[metric_label(metric)] is not None


def _suited_model(trial: Trial, kinds: Mapping[str, Kind], shapes: Mapping[str, tuple[int, ...]]) -> None:
    try:
        separate(tuple(kinds))
    except ValueError as error:
        raise trial.error("dataset", str(error)) from error
    kept = Counter(["labels", *(name for m in kinds for name in (m, f"{m}.filled"))])  # the arrays of FeaturesTaken
    twice = next((name for name, count in kept.items() if count > 1), None)
    if trial.scenario.evaluation.features and twice is not None:
        raise trial.error("evaluation.features", f"would keep two arrays '{twice}'; give the modality another name")
    if trial.scenario.feature_noise and set(kinds.values()) == {"tokens"}:
        raise trial.error(
            "feature_noise", "is for images, vectors and sequences, and the data has tokens alone; remove it"
        )
    sizes = partial(check_sizes, shapes)
    for key, check in (("encoders", check_encoders), ("augment", check_augment), ("encoders", sizes)):
        try:
            check(kinds, trial.scenario.model)
        except ValueError as error:
            raise trial.error(f"model.{key}", str(error)) from error


def _own_model(trial: Trial, seen: Mapping[str, Modality], modalities: Sequence[str] = ()) -> None:
    """Whether whole networks and what is one's own do what they must: they are tried on what is known.

    Also whether all encoders have what is to be frozen of them.
    """
    model = trial.scenario.model
    for name, spec in model.encoders.items():
        if name in seen:
            try:
                if isinstance(spec, OwnEncoder):
                    try_encoder(name, spec, seen[name], model)
                check_built(name, seen[name], model)
            except ValueError as error:
                raise trial.error(f"model.encoders.{name}", str(error)) from error
    for name, function in own_augments(model).items():
        if name in seen:
            try:
                try_augment(name, function, seen[name])
            except ValueError as error:
                raise trial.error(f"model.augment.{name}", str(error)) from error
    if isinstance(model.fusion, OwnFusion):
        try:
            try_fusion(model.fusion, modalities or tuple(seen), model.dim)
        except ValueError as error:
            raise trial.error("model.fusion", str(error)) from error


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
