"""Whether a trial's data, model and metrics suit one another, before and after the data is read.

Each check raises a `ScenarioError` where they do not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from raysim import registry
from raysim.data.dataset import DataError, Dataset, Kind, Modality, Source, check_names
from raysim.data.stored import check_stored
from raysim.evaluation import measured
from raysim.generation.plan import measured_rows, problems
from raysim.method import Method
from raysim.models.encoders import check_built
from raysim.models.own import try_encoder, try_fusion
from raysim.models.sizes import check_sizes
from raysim.models.task import check_augment, check_encoders, separate
from raysim.scenario.check import check_clients
from raysim.scenario.model import OwnEncoder, OwnFusion, Whole
from raysim.scenario.schema import Metric, metric_label
from raysim.scenario.trial import Trial
from raysim.training.augment import own_augments, try_augment
from raysim.training.job import method_of

REAL_METRICS = "write for example evaluation: {metrics: [mae, r2, pearson], metric: mae}"


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
            check_generation(trial, method_of(trial.scenario))
            return
        wanted = trial.scenario.modalities or tuple(known)
        check_names(wanted, known)
        _stored(trial, wanted)
        shapes = data.shapes()
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
    kinds: dict[str, Kind] = {m: kind for m, kind in known.items() if m in wanted}
    check_generation(trial, method_of(trial.scenario), kinds, shapes)
    method: type[Method] = registry.find("method", trial.scenario.method.name)
    if trial.scenario.evaluation.features and method.has("losses"):
        name = trial.scenario.method.name
        raise trial.error("evaluation.features", f"are of a task model, and '{name}' trains none; remove it")
    try:
        method.suits(kinds)
    except ValueError as error:
        raise trial.error("method", str(error)) from error
    check_model(trial, kinds, shapes)
    # How many tokens there are is not known yet; whole networks have a number of their own.
    whole = {m for m, spec in trial.scenario.model.encoders.items() if isinstance(spec, Whole)}
    seen = {m: Modality(k, shapes[m]) for m, k in kinds.items() if m in shapes and (k != "tokens" or m in whole)}
    try_model(trial, seen, tuple(kinds))


def _stored(trial: Trial, modalities: tuple[str, ...] | None) -> None:
    """Whether the files of a partition and of masks say what they must."""
    clients = check_stored(trial.scenario, modalities)
    if clients is not None:
        check_clients(trial, clients)


def check_generation(
    trial: Trial, method: Method, kinds: Mapping[str, Kind] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None, modalities: Mapping[str, Modality] | None = None,
) -> None:  # fmt: skip
    """Whether what is to be measured of a generator can be, as far as is known of the data before and after reading."""
    wanted = trial.scenario.evaluation.generation
    name = trial.scenario.method.name
    for key, problem in problems(wanted, method.generator, name, kinds, shapes or {}, modalities) if wanted else ():
        raise trial.error(f"evaluation.generation.{key}".rstrip("."), problem)


def check_judgeable(trial: Trial, dataset: Dataset, *, judges: bool) -> None:
    """Whether there is anything to measure generation on, and to teach judges by."""
    problem = ""
    if not len(measured_rows(dataset, 1, trial.seed)):
        problem = "needs test samples with every modality, and there are none; remove it"
    for m, spec in dataset.modalities.items():
        if judges and spec.kind != "tokens" and not dataset.train.presence((m,)).any():
            problem = f"has judges learn from training samples, of which none has '{m}'; leave it out (modalities)"
    if problem:
        raise trial.error("evaluation.generation", problem)


def check_measurable(trial: Trial, dataset: Dataset) -> None:
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


def check_model(trial: Trial, kinds: Mapping[str, Kind], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Whether encoders, augmentations and sizes suit the kinds of modality, and names can be told apart."""
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


def try_model(trial: Trial, seen: Mapping[str, Modality], modalities: Sequence[str] = ()) -> None:
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
