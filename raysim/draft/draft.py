"""A first scenario for a dataset and a method: what fits the data, and as comments what else may be said."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from raysim import registry
from raysim.data.dataset import DataError
from raysim.draft.facts import Facts, facts_of
from raysim.draft.text import Chosen, Wish, text_of
from raysim.method import Method
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import prepare


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
    facts = facts_of(dataset, data, wish.task)
    if len(facts.modalities) == 1 and wish != replace(wish, rates=Wish.rates):
        raise DataError(f"{facts.title} has one modality, so nothing can be missing; leave --rate out")
    for method, each in found.items():
        _check_modalities(facts, method, each)
    texts: dict[str, str] = {}
    chosen = [_fitting(facts, method, each, name, schema, wish, texts) for method, each in found.items()]
    if len(chosen) == 1:
        return texts[chosen[0].name]
    text = text_of(facts, chosen, name, schema, wish)
    if (problem := _problem(text, name, facts)) is not None:
        raise DataError(f"{', '.join(found)} cannot share a scenario: {problem.key}: {problem.message}") from problem
    return text


def _fitting(
    facts: Facts, method: str, found: type[Method], name: str, schema: str, wish: Wish, texts: dict[str, str]
) -> Chosen:
    """A method with the first generator by which a scenario of it alone is valid, whose text is put among `texts`."""
    problem: ScenarioError | None = None
    for generator in _generators(found):
        chosen = Chosen(method, found, _wanted(method, found, facts, generator), generator)
        texts[method] = text_of(facts, [chosen], name, schema, wish)
        wrong = _problem(texts[method], name, facts)
        if wrong is None:
            return chosen
        problem = problem or wrong
    assert problem is not None, "there is at least one"
    where = "" if problem.key == "method" else f"{problem.key}: "
    raise DataError(f"{method} does not suit {facts.title}: {where}{problem.message}") from problem


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


def _wanted(method: str, found: type[Method], facts: Facts, generator: str) -> dict[str, Any]:
    """The method's section with what must be said."""
    section: dict[str, Any] = {"name": method}
    for key, field in found.Options.model_fields.items():
        if field.is_required():
            section[key] = generator if _component(field) else next(iter(field.examples or facts.modalities))
    return section


def name_of(*parts: str) -> str:
    """A scenario's name of some words."""
    words = [re.sub(r"[^A-Za-z0-9_.-]+", "_", part.rpartition(":")[2]).strip("_.-") for part in parts]
    return "_".join(word for word in words if word)[:100] or "scenario"
