"""A first scenario for a dataset and a method: what fits the data, and as comments what else may be said."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raysim import registry
from raysim.catalogue import Option, options
from raysim.data.classes import REAL, are_real
from raysim.data.dataset import DataError, Dataset, Kind, Outcome, Source, Split
from raysim.data.headers import array
from raysim.data.recipe import Recipe
from raysim.data.remarks import remarks
from raysim.editor import LINE
from raysim.method import Method
from raysim.models.encoders import encoder_name
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError, one_line
from raysim.scenario.shipped import shipped
from raysim.scenario.source import inline, read
from raysim.scenario.trial import load
from raysim.simulation.prepare import check_kinds, prepare

CLIENTS = 10
"""As many are made where the data has none of its own, or fewer where it is small."""
LEAST = 10
"""Samples that a client should have."""
MANY = 100
"""From so many clients on a tenth of them takes part in a round."""
FEW_A_CLASS = 20
"""Below so many samples a class and client, classes are not dealt out unevenly."""
COLUMN, WIDTH = 38, 118
METRIC: Mapping[Outcome, str] = {"single_label": "uar", "multi_label": "macro_auc", "regression": "mae"}
"""What tells the best round."""
REAL_METRICS = ("mae", "r2", "pearson")
Plain = Mapping[str, Any]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Facts:
    """What is known of the data.

    Attributes:
        dataset: the scenario's section.
        title: what it is called.
        modalities: name -> kind, None where that is not known before the data is prepared.
        partition: what suits it.
        clients: how many that makes, where that is known.
        outcome: what is predicted.
        prepared: whether the data is there.
        remarks: what in it is unlikely.
    """

    dataset: Plain
    title: str
    modalities: Mapping[str, Kind | None]
    partition: Plain
    clients: int | None
    outcome: Outcome
    prepared: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is said of a scenario besides its data and methods.

    Attributes:
        rates: of missing modalities; several become a grid.
        seeds: how many.
        rounds: likewise.
        task: of data of one's own; None: as its labels are.
    """

    rates: Sequence[float] = (0.5,)
    seeds: int = 1
    rounds: int = 20
    task: Task | None = None


@dataclass(frozen=True)
class _Chosen:
    """A method with what must be said of it, and the generator in that, if any."""

    name: str
    found: type[Method]
    section: Plain
    generator: str


def draft(
    dataset: str, *methods: str, name: str, data: Path | None = None, schema: str, wish: Wish | None = None
) -> str:
    """The text of a scenario that is valid and, where the data is there, runs.

    Args:
        dataset: its name, as in a scenario.
        methods: likewise; several become a grid.
        name: the scenario's.
        data: the path of a dataset that has one, `arrays`.
        schema: where editors find the schema.
        wish: what else is said.

    Raises:
        DataError: there is no such data, or a method does not suit it, or what is wished.
        UnknownNameError: there is no such dataset or method.
    """
    wish = wish or Wish()
    found: dict[str, type[Method]] = {method: registry.find("method", method) for method in methods}
    facts = _facts(dataset, data, wish.task)
    if len(facts.modalities) == 1 and wish != replace(wish, rates=Wish.rates):
        raise DataError(f"{facts.title} has one modality, so nothing can be missing; leave --rate out")
    for method, each in found.items():
        _check_modalities(facts, method, each)
    texts: dict[str, str] = {}
    chosen = [_fitting(facts, method, each, name, schema, wish, texts) for method, each in found.items()]
    if len(chosen) == 1:
        return texts[chosen[0].name]
    text = _text(facts, chosen, name, schema, wish)
    if (problem := _problem(text, name, facts)) is not None:
        raise DataError(f"{', '.join(found)} cannot share a scenario: {problem.key}: {problem.message}") from problem
    return text


def _fitting(
    facts: Facts, method: str, found: type[Method], name: str, schema: str, wish: Wish, texts: dict[str, str]
) -> _Chosen:
    """A method with the first generator by which a scenario of it alone is valid, whose text is put among `texts`."""
    problem: ScenarioError | None = None
    for generator in _generators(found):
        chosen = _Chosen(method, found, _wanted(method, found, facts, generator), generator)
        texts[method] = _text(facts, [chosen], name, schema, wish)
        wrong = _problem(texts[method], name, facts)
        if wrong is None:
            return chosen
        problem = problem or wrong
    assert problem is not None, "there is at least one"
    where = "" if problem.key == "method" else f"{problem.key}: "
    raise DataError(f"{method} does not suit {facts.title}: {where}{problem.message}") from problem


def _text(facts: Facts, chosen: Sequence[_Chosen], name: str, schema: str, wish: Wish) -> str:
    return "\n".join(_lines(facts, chosen, name, schema, wish)) + "\n"


def _problem(text: str, name: str, facts: Facts) -> ScenarioError | None:
    """What is wrong with a scenario, of which seeds are alike."""
    try:
        trials = load(Path(name), (), text)
        for trial in (t for t in trials if t.seed == trials[0].seed):
            check(trial)
            check_kinds(trial)
            if facts.prepared:
                prepare(trial)
    except ScenarioError as error:
        return error
    return None


def _check_modalities(facts: Facts, method: str, found: type[Method]) -> None:
    """Whether enough is known, and there are enough, where the data is not there."""
    name, count = facts.dataset["name"], len(facts.modalities)
    if "modality" in found.Options.model_fields and not count:
        raise DataError(f"{method} needs one of the modalities of {name}, which are known when that is prepared")
    if 0 < count < found.least:
        raise DataError(f"{method} needs at least {found.least} modalities, {name} has {count}")


def _facts(dataset: str, data: Path | None, task: Task | None) -> Facts:
    source: type[Source] = registry.find("dataset", dataset)
    said: dict[str, Any] = {"name": dataset}
    if "path" in source.Options.model_fields:
        if data is None:
            raise DataError(f"'{dataset}' needs the path of your data; write --data FILE.npz")
        said["path"] = str(data.resolve())
    elif data is not None:
        raise DataError(f"'{dataset}' has its data already; for your own write --dataset arrays --data {data}")
    if "task" not in source.Options.model_fields and task is not None:
        raise DataError(f"'{dataset}' has a task of its own; leave --task out")
    if "task" in source.Options.model_fields and data is not None:
        task = task or ("regression" if are_real(array(data, "y")) else None)
        said |= {} if task is None else {"task": task}
    examples = _examples(dataset)
    if issubclass(source, Recipe):
        said = {**{k: v for k, v in examples.get("dataset", {}).items() if k != "cache"}, **said}
    there = source(registry.options(source, {k: v for k, v in said.items() if k != "name"}))
    if there.kinds() is None:
        partition = examples.get("partition", {"name": "iid", "clients": CLIENTS})
        modalities: dict[str, Kind | None] = dict.fromkeys(getattr(source, "features", ()))
        return Facts(
            said, dataset, modalities, partition, partition.get("clients"), outcome="single_label", prepared=False
        )
    try:
        found = there.load()
    except DataError as error:
        raise DataError(str(error).replace(REAL, "; for real numbers say --task regression")) from error
    kinds: dict[str, Kind | None] = {m: spec.kind for m, spec in found.modalities.items()}
    if "standardize" in source.Options.model_fields and {"vector", "sequence"} & set(kinds.values()):
        said.setdefault("standardize", True)
    partition, clients = _partition(found)
    title = dataset if data is None else data.name
    return Facts(
        said, title, kinds, partition, clients, outcome=found.outcome, prepared=True, remarks=tuple(remarks(found))
    )


def _examples(dataset: str) -> Plain:
    """What the first scenario that comes with raysim says of this dataset, and of its partition."""
    nothing: Plain = {}
    return next((e for e in _shipped() if e["dataset"].get("name") == dataset), nothing)


@cache
def _shipped() -> tuple[Plain, ...]:
    """The dataset and the partition of each scenario that comes with raysim and says both."""
    plain = [read(path).plain() for path in shipped().values()]
    keys = ("dataset", "partition")
    return tuple({key: _named(said[key]) for key in keys} for said in plain if set(keys) <= said.keys())


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _partition(data: Dataset) -> tuple[Plain, int]:
    """The data's own clients where they are large enough, groups of them where they are small, else made ones."""
    train, count = data.train, len(data.train)
    made = max(1, min(CLIENTS, count // LEAST))
    if train.clients is not None:
        sizes = np.unique(train.clients, return_counts=True)[1]
        if len(sizes) > 1 and np.median(sizes) >= LEAST / 2:
            return {"name": "natural"}, len(sizes)
        if len(sizes) >= made:
            return {"name": "groups", "clients": made}, made
    if data.outcome != "single_label" or not _skewable(train, made):
        return {"name": "iid", "clients": made}, made
    return {"name": "dirichlet", "clients": made, "alpha": 0.5, "min_size": min(LEAST, count // (4 * made))}, made


def _skewable(train: Split, clients: int) -> bool:
    """Whether classes can be dealt out unevenly so that all clients get some samples."""
    classes = len(np.unique(train.labels))
    return clients > 1 and len(train) >= FEW_A_CLASS * max(clients, classes)


def _generators(method: type[Method]) -> Sequence[str]:
    """What may stand where a method's options ask for a generator: what it names as an example first."""
    fields = [field for field in method.Options.model_fields.values() if _component(field)]
    if not fields:
        return ("",)
    return tuple(
        dict.fromkeys([*(str(e) for e in fields[0].examples or ()), *(e.name for e in registry.listed("generator"))])
    )


def _component(field: FieldInfo) -> str | None:
    """The kind of component that an option names, if that has to be said."""
    extra: Any = field.json_schema_extra
    return extra.get("component") if field.is_required() and isinstance(extra, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _lines(facts: Facts, chosen: Sequence[_Chosen], name: str, schema: str, wish: Wish) -> Iterator[str]:
    dataset, modalities = str(facts.dataset["name"]), facts.modalities
    yield f"{LINE}{schema}"
    yield "# Settings behind # are what is so if nothing is said: remove the '# ' before one to change it."
    yield f"name: {name}"
    yield f"description: {inline(f'Experiments on {facts.title}.')}"
    yield from _noted(f"seeds: {inline([*range(1, wish.seeds + 1)])}", "Three or more tell differences from chance.")
    yield from _section("dataset", facts.dataset, registry.find("dataset", dataset).Options)
    if not facts.prepared:
        yield f"  # The data is not prepared here: raysim data info {dataset} says how to get it."
    yield from (f"  # Look at the data: {one_line(text)}." for text in facts.remarks)
    if modalities:
        yield from _noted(f"# modalities: {inline(list(modalities))}", "Those that take part.")
    yield from _noted(f"partition: {inline(dict(facts.partition))}", "Who has which samples: raysim info partition.")
    if any(each.found.server_trains or each.found.has("share") for each in chosen):
        yield from _noted("public: 0.1", "The share of samples that the server keeps: this method needs some.")
    yield from _missing(modalities, wish.rates)
    if len(chosen) == 1:
        (one,) = chosen
        yield from _section("method", one.section, one.found.Options, one.generator)
    yield from _model(modalities)
    yield from _federation(facts, wish.rounds)
    yield from _evaluation(facts, chosen)
    yield from _grid(chosen, wish.rates, alone=len(modalities) == 1)
    yield "# What else there is, see: raysim info scenario | federation | evaluation | missing, and raysim list methods"


def _grid(chosen: Sequence[_Chosen], rates: Sequence[float], *, alone: bool) -> Iterator[str]:
    """What is compared, and as comments what could be."""
    lines = [] if len(rates) == 1 else [f"  missing.rate: {inline(list(rates))}"]
    if len(chosen) > 1:
        lines += ["  method:", *(f"    - {inline(_short(each.section))}" for each in chosen)]
    if lines:
        yield from _noted("grid:", "Every combination, times the seeds. Options of one: raysim info method NAME.")
        yield from lines
        return
    yield "# To compare, every combination, times the seeds:"
    yield "# grid:"
    yield f"#   {'federation.optimizer.lr: [0.0003, 0.001, 0.003]' if alone else 'missing.rate: [0.3, 0.5, 0.7]'}"
    other = "zero_fill" if chosen[0].name != "zero_fill" else "modality_dropout"
    yield f"#   method: [{other}, {inline(_short(chosen[0].section))}]"


def _short(section: Plain) -> Any:
    return section["name"] if len(section) == 1 else dict(section)


def _missing(modalities: Mapping[str, Kind | None], rates: Sequence[float]) -> Iterator[str]:
    if len(modalities) == 1:
        yield "# There is but one modality, so nothing can be missing."
        return
    yield "missing:"
    yield from _noted(
        "  name: per_client", "Each client lacks each modality by a draw of its own: raysim info missing."
    )
    by_modality = f"; by modality: {inline(dict.fromkeys(modalities, 0.5))}" if modalities else ""
    if len(rates) == 1:
        yield from _noted(f"  rate: {inline(rates[0])}", f"The probability{by_modality}.")
    yield from _noted("  # empty: keep_one", "Who would lose everything keeps one; or drop.")


def _model(modalities: Mapping[str, Kind | None]) -> Iterator[str]:
    yield "model:"
    yield from _noted("  dim: 64", "Width of every encoder's output.")
    yield from _noted("  # fusion: concat", "Or attention.")
    known = {m: encoder_name(kind, None) for m, kind in modalities.items() if kind is not None}
    if known:
        yield from _noted("  # encoders:", "By modality: raysim list encoders.")
        for m, encoder in known.items():
            yield from _noted(f"  #   {inline(m)}: {encoder}", f"It is {_article(str(modalities[m]))}.")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" if noun != "tokens" else "text as tokens"


def _federation(facts: Facts, rounds: int) -> Iterator[str]:
    yield "federation:"
    yield f"  rounds: {rounds}"
    if (facts.clients or 0) >= MANY:
        yield from _noted("  clients_per_round: 0.1", f"Of {facts.clients} clients; a number, a share or all.")
    else:
        yield from _noted("  # clients_per_round: all", "A number, a share or all.")
    yield from _noted("  local_epochs: 2", "Passes over a client's samples in a round.")
    yield "  batch_size: 16"
    yield from _noted("  optimizer: {name: adam, lr: 0.001}", "Or sgd, adamw.")
    yield from _noted("  # algorithm: fedavg", "raysim list algorithms.")


def _evaluation(facts: Facts, chosen: Sequence[_Chosen]) -> Iterator[str]:
    yield "evaluation:"
    yield from _noted("  every_rounds: 2", "The last round is always evaluated.")
    if not all(each.found.has("losses") for each in chosen):
        if facts.outcome == "regression":
            yield from _noted(f"  metrics: {inline(list(REAL_METRICS))}", "raysim list metrics.")
        yield from _noted(f"  metric: {METRIC[facts.outcome]}", "It tells the best round by the validation samples.")
    if len(facts.modalities) != 1:
        yield from _noted("  missing: same", "Test samples lack modalities, too; none: they have all.")


def _wanted(method: str, found: type[Method], facts: Facts, generator: str) -> dict[str, Any]:
    """The method's section with what must be said."""
    section: dict[str, Any] = {"name": method}
    for key, field in found.Options.model_fields.items():
        if field.is_required():
            section[key] = generator if _component(field) else next(iter(field.examples or facts.modalities))
    return section


def _section(key: str, said: Plain, model: type[BaseModel], generator: str = "") -> Iterator[str]:
    """A component with what is said, then all else that it takes as comments."""
    yield f"{key}:"
    described = {option.name: option for option in options(model)}
    for name, value in said.items():
        if generator and name != "name" and value == generator:
            yield from _noted(f"  {name}:", described[name].description)
            yield f"    name: {value}"
            inner: tuple[Option, ...] = options(registry.find("generator", generator).Options)
            yield from (line for option in inner for line in _commented(option, "    "))
        else:
            yield from _noted(f"  {name}: {inline(value)}", described[name].description if name in described else "")
    yield from (line for name, o in described.items() if name not in said for line in _commented(o, "  "))


def _commented(option: Option, indent: str) -> Iterator[str]:
    yield from _noted(f"{indent}# {option.name}: {inline(option.default)}", option.description)


def _noted(line: str, note: str) -> Iterator[str]:
    """A line and what is said of it, in a column of its own, on as many lines as that takes."""
    if not note:
        yield line
        return
    at = max(COLUMN, len(line) + 2)
    first, *rest = textwrap.wrap(note, max(WIDTH - at, 40), break_long_words=False, break_on_hyphens=False)
    yield f"{line:<{at}}# {first}"
    yield from (f"{'':<{at}}# {more}" for more in rest)


def name_of(*parts: str) -> str:
    """A scenario's name of some words."""
    words = [re.sub(r"[^A-Za-z0-9_.-]+", "_", part.rpartition(":")[2]).strip("_.-") for part in parts]
    return "_".join(word for word in words if word)[:100] or "scenario"
