"""What scenarios can name, and what each takes: read from the components, the schema and their docstrings alone.

Components are found by name (`raysim.registry`); fusions, partitions and the like are members of the schema's unions.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from raysim import registry
from raysim.registry import Entry, UnknownNameError
from raysim.scenario.check import import_failure
from raysim.scenario.clients import ListedMissing, ListedPartition, OwnMissing
from raysim.scenario.messages import near, wanted
from raysim.scenario.model import Augment, Encoder, ListedFusion, OwnAugment, OwnEncoder, Torchvision, Transformers
from raysim.scenario.optimizer import Optimizer
from raysim.scenario.schedule import Schedule
from raysim.scenario.schema import Metric, Scenario
from raysim.scenario.section import Component as ByName
from raysim.scenario.section import Section

WHOLE: Mapping[str, type[BaseModel]] = {"transformers": Transformers, "torchvision": Torchvision}
"""Encoders that are networks of other libraries."""
UNIONS: Mapping[str, Any] = {
    "fusion": ListedFusion, "partition": ListedPartition, "missing": ListedMissing, "optimizer": Optimizer,
    "schedule": Schedule,
}  # fmt: skip
KINDS = (*registry.FOLDERS, "encoder", *UNIONS, "augmentation")
OWN: Mapping[str, type[BaseModel]] = {
    "encoder": OwnEncoder, "missing": OwnMissing, "augmentation": OwnAugment, "metric": Metric
}  # fmt: skip
"""What a scenario may say of components of one's own beside their options."""
PLURALS = {registry.plural(kind): kind for kind in KINDS}


@dataclass(frozen=True)
class Option:
    """One setting of a component.

    Attributes:
        name: the key in a scenario.
        type: what it may be, in words.
        required: whether it must be given.
        default: what it is otherwise, as plain data.
        description: what it is for.
    """

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class Component:
    """Something that a scenario can name.

    Attributes:
        kind, name: what it is found by.
        doc: its docstring.
        origin: the file that it is in.
        options: what a scenario may say beside its name.
    """

    kind: str
    name: str
    doc: str
    origin: str
    options: tuple[Option, ...]


def listed(kind: str) -> list[Entry]:
    """All of a kind that have a name, with the first line of what is said of them."""
    if kind in registry.FOLDERS:
        return registry.listed(kind)
    members = [Entry(name, _doc(found).partition("\n")[0], _file(found)) for name, found in _members(kind).items()]
    return members + (registry.listed(kind) if kind in registry.BASES else [])


def component(kind: str, name: str) -> Component:
    """What is known of one.

    Raises:
        UnknownNameError: there is none, or its file cannot be imported; the message is one line.
    """
    if kind in registry.FOLDERS or (kind in registry.BASES and registry.is_own(kind, name)):
        found, settings = _registered(kind, name)
        module = inspect.getmodule(found)
        # A file of a folder is one component, and says so at its head.
        whole = kind in registry.FOLDERS and ":" not in name and module is not None and module.__doc__
        more = options(OWN[kind]) if kind in OWN else ()
        doc = _doc(module if whole else found) + (_judged(found) if kind == "metric" else "")
        return Component(kind, name, doc, _file(found), options(settings) + more)
    members = _members(kind)
    if name not in members:
        raise UnknownNameError(f"there is no {kind} '{name}'; {near(name, list(members))}")
    found = members[name]
    taken = _encoder_options(name) if kind == "encoder" else options(found) if kind in UNIONS else ()
    if kind == "augmentation":
        taken = tuple(option for option in options(Augment) if option.name == name)
    return Component(kind, name, _doc(found), _file(found), taken)


def _judged(metric: Any) -> str:
    """What a metric says of itself: what is better, and which data it is for."""
    suits: Sequence[str] = getattr(metric, "suits", ())
    better = "More" if getattr(metric, "higher_is_better", True) else "Less"
    tasks = f"; for {' and '.join(suits)} data" if suits else ""
    return f"\n\n{better} is better{tasks}."


def options(model: type[BaseModel]) -> tuple[Option, ...]:
    """The fields of a pydantic model but for the name of one that is chosen by it."""
    schema = model.model_json_schema()
    return tuple(
        Option(
            name,
            wanted(schema, schema["properties"][field.alias or name]) or "anything",
            field.is_required(),
            _plain(field.get_default(call_default_factory=True, validated_data={})),
            " ".join((field.description or _about(field)).split()),
        )
        for name, field in model.model_fields.items()
        if name != "name" or model is Scenario
    )


def sections() -> Mapping[str, type[BaseModel]]:
    """Dotted key -> a part of a scenario that is one mapping with fields of its own; `scenario` is the whole."""
    return {"scenario": Scenario, **dict(_sections(Scenario, ""))}


def section(key: str) -> Component:
    """What is known of one of `sections`, as of a component."""
    found = sections()[key]
    return Component("section", key, _doc(found), _file(found), options(found))


def _sections(model: type[BaseModel], above: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if (found := _section(field)) is not None:
            yield f"{above}{name}", found
            yield from _sections(found, f"{above}{name}.")


def _section(field: FieldInfo) -> type[Section] | None:
    """The one section that a field holds, if it holds that, or null."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    kind: Any = get_args(kinds[0])[0] if get_origin(kinds[0]) is Annotated else kinds[0]
    if len(kinds) > 1 or not inspect.isclass(kind):
        return None
    return kind if issubclass(kind, Section) and not issubclass(kind, ByName) else None


def _about(field: FieldInfo) -> str:
    """What is said of a field by the section that it holds."""
    found = _section(field)
    return "" if found is None else _doc(found).partition("\n")[0]


def _registered(kind: str, name: str) -> tuple[type[Any], type[BaseModel]]:
    """A class that is found by name, and its options."""
    try:
        found = registry.find(kind, name)
        return found, registry.settings_of(kind, found)
    except UnknownNameError:
        raise
    except Exception as error:
        raise UnknownNameError(import_failure(name, error)) from error


def _members(kind: str) -> dict[str, Any]:
    """Name -> the class or function that has what is said of it as its docstring, or the field that says it."""
    if kind == "encoder":
        from raysim.models import encoders, pretrained

        own = {name: builder for name, (builder, _) in encoders.BUILDERS.items()}
        return {**own, **pretrained.BUILDERS, **WHOLE}
    if kind == "augmentation":
        return dict(Augment.model_fields)
    union, *_ = get_args(UNIONS[kind])
    return {get_args(m.model_fields["name"].annotation)[0]: m for m in get_args(union)}


def _encoder_options(name: str) -> tuple[Option, ...]:
    """Of `model.encoders`: what a section has, of which only some have convolutions or published weights."""
    from raysim.models.encoders import BUILDERS

    if name in WHOLE:
        return options(WHOLE[name])
    channels = BUILDERS[name][1] if name in BUILDERS else ()
    takes = {"hidden", *(("channels",) if channels else ())} if name in BUILDERS else {"weights"}
    found = [option for option in options(Encoder) if option.name in {*takes, "freeze"}]
    return tuple(replace(o, default=list(channels)) if o.name == "channels" else o for o in found)


def _doc(thing: Any) -> str:
    return inspect.cleandoc((thing.description if isinstance(thing, FieldInfo) else thing.__doc__) or "")


def _file(thing: Any) -> str:
    return inspect.getsourcefile(Augment if isinstance(thing, FieldInfo) else thing) or ""


def _plain(default: Any) -> Any:
    """A default as one would write it: of a section what differs from its own defaults."""
    if default is PydanticUndefined:
        return None
    if isinstance(default, BaseModel):
        said: dict[str, Any] = default.model_dump(mode="json", exclude_unset=True)
        return {n: getattr(default, n) for n in ("name",) if n in type(default).model_fields} | said
    return to_jsonable_python(default)
