"""A generator in a scenario: found by its name, with its options, as an option of a method or of another generator."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from raysim.generators.base import Generator
from raysim.registry import UnknownNameError, find, options
from raysim.scenario.messages import explain


def generator_of(named: Mapping[str, Any] | str) -> Generator:
    """The generator that a scenario names, with the options that stand beside its `name`.

    Raises:
        ValueError: there is none, or it has no such options; one line.
    """
    given = {"name": named} if isinstance(named, str) else dict(named)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise ValueError("has no name; write for example {name: mopoe}")  # noqa: TRY004 - pydantic's way to refuse
    try:
        kind: type[Generator] = find("generator", name)
    except UnknownNameError as error:
        raise ValueError(str(error)) from error
    try:
        return kind(options(kind, given))
    except ValidationError as error:
        below, message = explain(error, kind.Options.model_json_schema(), given)
        raise ValueError(f"{below}: {message}" if below else message) from error


def _known(named: dict[str, Any] | str) -> dict[str, Any] | str:
    generator_of(named)
    return named


Named = Annotated[dict[str, Any] | str, AfterValidator(_known), Field(json_schema_extra={"component": "generator"})]
"""A generator in the options of a method: its name, or a mapping with its name and options."""


def _conditional(named: dict[str, Any] | str) -> dict[str, Any] | str:
    if not generator_of(named).conditional:
        raise ValueError("makes no modality of another; name one that does, such as mopoe")
    return named


Conditional = Annotated[Named, AfterValidator(_conditional)]
"""One that makes modalities of others."""
