"""What can be checked of a trial before any data is read: components, their options, sections that must agree."""

import importlib.util
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from raysim.registry import FOLDERS, GIVEN, UnknownNameError, find, here, misspelt, options, settings_of, validated
from raysim.scenario.clients import NothingMissing, OwnMissing, OwnPartition, PerClient, PerSample, Roles, StoredMissing
from raysim.scenario.errors import ScenarioError
from raysim.scenario.functions import bound, failure
from raysim.scenario.messages import explain
from raysim.scenario.model import CODE, MODEL, OwnAugment, OwnEncoder, OwnFusion
from raysim.scenario.schema import LOSS, Metric, metric_label
from raysim.scenario.section import Component
from raysim.scenario.trial import Trial


def import_paths(trial: Trial) -> tuple[str, ...]:
    """Where dotted names are looked up besides the installed packages.

    The scenario's folder and the current one, and where a trial's folder is meant, the copies of code that it has.
    """
    beside = trial.source.path.resolve().parent
    ours = any((beside / name).exists() for name in (MODEL, "metrics.jsonl"))
    copies = [beside / CODE] if ours and (beside / CODE).is_dir() else []
    return tuple(dict.fromkeys(map(str, (beside, Path.cwd(), *copies))))


def check(trial: Trial) -> None:
    """Checks a trial's components and the sections that must agree.

    `import_paths` is appended to `sys.path`, where the names may be needed again.

    Raises:
        ScenarioError: the first problem found.
    """
    sys.path.extend(p for p in import_paths(trial) if p not in sys.path)
    scenario = trial.scenario
    _component(trial, "dataset", "dataset", scenario.dataset)
    _component(trial, "algorithm", "federation.algorithm", scenario.federation.algorithm)
    _component(trial, "method", "method", scenario.method)
    for modality, encoder in scenario.model.encoders.items():
        if isinstance(encoder, OwnEncoder):
            _component(trial, "encoder", f"model.encoders.{modality}", encoder)
    if isinstance(scenario.model.fusion, OwnFusion):
        _component(trial, "fusion", "model.fusion", scenario.model.fusion)
    for modality, augment in scenario.model.augment.items():
        if isinstance(augment, OwnAugment):
            _function(trial, "augmentation", f"model.augment.{modality}", augment)
    if isinstance(scenario.partition, OwnPartition):
        _function(trial, "partition", "partition", scenario.partition)
    if isinstance(scenario.missing, OwnMissing):
        _function(trial, "missing", "missing", scenario.missing)
    _evaluation(trial)
    clients: Any = getattr(scenario.partition, "clients", None)
    # Only data, files and functions know natural, listed and own ones.
    if clients is not None and not isinstance(scenario.partition, OwnPartition):
        check_clients(trial, clients)
    _changing(trial)
    _compat(trial)
    _public(trial)
    _tracking(trial)


def _component(trial: Trial, kind: str, key: str, component: Component, field: str = ".name") -> None:
    """Checks a component; `field` is where its name stands below the key."""
    try:
        found = find(kind, component.name)
        model = settings_of(kind, found)
    except UnknownNameError as error:
        raise trial.error(f"{key}{field}", str(error)) from error
    except Exception as error:
        raise trial.error(f"{key}{field}", import_failure(component.name, error)) from error
    if (names := misspelt(kind, found) if kind in FOLDERS else None) is not None:
        raise trial.error(
            f"{key}{field}",
            f"{component.name} has '{names[0]}', which nothing calls; did you mean '{names[1]}'? If it is your own, "
            "begin it with _",
        )
    extras: Any = getattr(found, "requires", ())
    for package in extras:
        if not _installed(package):
            way = f"pip install 'raysim[{extras[package]}]'" if isinstance(extras, Mapping) else "install it"
            raise trial.error(f"{key}{field}", f"'{component.name}' needs the package {package}; {way}")
    try:
        validated(model, component.options)
    except ValidationError as error:
        raise _option_error(trial, kind, key, model, component, error) from error


def _function(trial: Trial, kind: str, key: str, component: Component) -> None:
    _component(trial, kind, key, component)
    try:
        bound(kind, component)
    except ValueError as error:
        raise trial.error(key, str(error)) from error


def _installed(package: str) -> bool:
    """Whether there is such a package; a mere folder of that name on the path is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _option_error(
    trial: Trial, kind: str, key: str, model: type[BaseModel], component: Component, error: ValidationError
) -> ScenarioError:
    below, message = explain(error, model.model_json_schema(), component.options)
    absent = kind in GIVEN and below in model.model_fields and below not in component.options
    if absent and (near := get_close_matches(below, GIVEN[kind], n=1)):
        message = f"{message}; or did you mean the parameter '{near[0]}', which raysim gives?"
    return trial.error(f"{key}.{below}" if below else key, message)


def import_failure(name: str, error: Exception) -> str:
    """One line with the innermost place of the failure."""
    if isinstance(error, SyntaxError):
        return f"'{name}' does not parse: {error.filename}:{error.lineno}: {error.msg}; correct the file"
    return f"'{name}' cannot be imported: {failure(error)}; correct the file"


def _evaluation(trial: Trial) -> None:
    evaluation, missing = trial.scenario.evaluation, trial.scenario.missing
    for i, metric in enumerate(evaluation.metrics):
        key = f"evaluation.metrics.{i}"
        _component(trial, "metric", key, Metric.of(metric))
        if metric_label(metric) == LOSS:
            raise trial.error(key, f"'{LOSS}' is the name of another figure; give it another label")
    if evaluation.decisive not in evaluation.names:
        near = [] if here("metric", evaluation.metric) else get_close_matches(evaluation.metric, evaluation.names, n=1)
        if not near:  # it may be no metric at all
            _component(trial, "metric", "evaluation.metric", Component(name=evaluation.metric), field="")
        way = f"did you mean '{near[0]}'?" if near else "add it there"
        there = ", ".join(evaluation.names)
        raise trial.error(
            "evaluation.metric", f"'{evaluation.metric}' is not among evaluation.metrics ({there}); {way}"
        )
    if evaluation.keep_private and evaluation.keep_model != "last":
        raise trial.error("evaluation.keep_private", "is of the last round; set evaluation.keep_model: last, too")
    if len(set(evaluation.names)) < len(evaluation.names):
        raise trial.error("evaluation.metrics", "names a metric twice; keep one, or give it another label")
    if evaluation.missing == "same" and isinstance(missing, NothingMissing) and missing.parts is None:
        raise trial.error(
            "evaluation.missing", f"'same' needs a rate, and missing '{missing.name}' has none; write one"
        )
    if evaluation.missing == "roles" and not isinstance(missing, Roles):
        raise trial.error(
            "evaluation.missing", f"'roles' are those of missing: roles, and missing is '{missing.name}'; write a rate"
        )


def _changing(trial: Trial) -> None:
    missing = trial.scenario.missing
    if not isinstance(missing, PerSample) or missing.changing is None:
        return
    if missing.empty != "keep_one":
        raise trial.error(
            "missing.empty", "samples stay while missing.changing hides other modalities of them; write keep_one"
        )
    if missing.changing.rates and trial.scenario.evaluation.missing == "same":
        raise trial.error("evaluation.missing", "'same' needs one rate, and missing.changing has several; write one")


def _compat(trial: Trial) -> None:
    missing = trial.scenario.missing
    if trial.scenario.compat is None:
        return
    if not isinstance(missing, NothingMissing | PerClient | StoredMissing):
        raise trial.error(
            "missing.name", "compat: fedmultimodal hides modalities by client; write per_client, file or none"
        )
    if isinstance(missing, PerClient) and "empty" in missing.model_fields_set and missing.empty != "drop":
        raise trial.error("missing.empty", "compat: fedmultimodal leaves clients out that lose everything; write drop")


def _public(trial: Trial) -> None:
    method = find("method", trial.scenario.method.name)
    if not trial.scenario.public and (method.server_trains or method.has("share")):
        raise trial.error(
            "public",
            f"'{trial.scenario.method.name}' needs public samples at the server; write for example public: 0.1",
        )


def _tracking(trial: Trial) -> None:
    names = [tracker.name for tracker in trial.scenario.tracking]
    for i, tracker in enumerate(trial.scenario.tracking):
        if tracker.name in names[:i]:
            raise trial.error(f"tracking.{i}", f"'{tracker.name}' is there twice; keep one")
        _component(trial, "tracker", f"tracking.{i}", tracker)
        found = find("tracker", tracker.name)
        try:
            found(options(found, tracker.options)).ready()
        except ValueError as error:
            raise trial.error(f"tracking.{i}", str(error)) from error


def check_clients(trial: Trial, clients: int) -> None:
    """Checks what else a scenario says of clients, where their number is known.

    Raises:
        ScenarioError: it says it of more clients than there are, or of fewer.
    """
    scenario = trial.scenario
    cohort = scenario.federation.clients_per_round
    if isinstance(cohort, int) and cohort > clients:
        raise trial.error(
            "federation.clients_per_round", f"is {cohort}, but there are {clients} clients; write {clients} or less"
        )
    if isinstance(scenario.missing, Roles):
        total = sum(role.clients for role in scenario.missing.roles)
        if total != clients:
            raise trial.error(
                "missing.roles", f"add up to {total} clients, but the partition has {clients}; make them agree"
            )
