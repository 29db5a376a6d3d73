"""The JSON Schema (2020-12) of a scenario, as editors read it: fields with their prose, and options of what is there.

Pydantic makes it of the scenario's model and of each component's options. What is added here: names that are short for
mappings, components by name, and `grid`. With a grid, which may set any field, nothing but the name is required.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from raysim import registry
from raysim.registry import Entry
from raysim.scenario.grid import OWN as ONCE
from raysim.scenario.schema import Metric, Scenario

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE = "schema.json"
"""What it is called beside the scenarios that come with raysim."""
LINE = "# yaml-language-server: $schema="
"""How a scenario's first line names its schema, for editors."""
KINDS = ("dataset", "method", "algorithm", "generator", "tracker", "metric")
"""What is found by name and has options of its own."""
_LOOSE = "-varied"
"""Ends the name of a definition that requires nothing."""
_DROPPED = ("title", "discriminator", "phrase", "component")


class _Made(GenerateJsonSchema):
    """Notes at a schema for which key of a mapping a bare text is short."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        found = super().function_before_schema(schema)
        if schema["function"]["type"] != "no-info":
            return found
        said: Any = cast(Any, schema["function"]["function"])("word")
        keys = [key for key, value in cast(Schema, said).items() if value == "word"] if isinstance(said, dict) else []
        return {"anyOf": [found], "short": keys[0]} if keys else found


def schema() -> Schema:
    """The whole schema. Components are those that `raysim list` shows where one works; they are imported."""
    defs: dict[str, Schema] = {}
    root = defs["scenario"] = _parts(Scenario, "scenario", defs)
    for kind in KINDS:
        _components(kind, defs)
    found = {name: _finished(part) for name, part in defs.items()}
    found |= _loosened(found)
    for part in found.values():
        _shorten(part, found)
    loose = found[f"scenario{_LOOSE}"]
    found |= _grid(found, loose)
    loose["properties"]["grid"] = {"$ref": "#/$defs/grid"}
    loose["required"] = ["name"]
    return {
        "$schema": DIALECT,
        "title": "raysim scenario",
        "description": root["description"],
        "type": "object",
        "if": {"required": ["grid"]},
        "then": {"$ref": f"#/$defs/scenario{_LOOSE}"},
        "else": {"$ref": "#/$defs/scenario"},
        "$defs": dict(sorted(found.items())),
    }


def text() -> str:
    """The schema as a file has it: a line a definition, so that changes can be read."""
    found = schema()
    defs = ",\n".join(f"{json.dumps(name)}: {_line(part)}" for name, part in found.pop("$defs").items())
    return f'{_line(found)[:-1]}, "$defs": {{\n{defs}\n}}}}\n'


def _line(part: Schema) -> str:
    return json.dumps(part, ensure_ascii=False)


def _parts(model: type[BaseModel], name: str, defs: dict[str, Schema]) -> Schema:
    """A model's own schema; its definitions are added, with the name before theirs where that is taken by others."""
    root: Schema = model.model_json_schema(schema_generator=_Made)
    parts: dict[str, Schema] = root.pop("$defs", {})
    names = {n: n if defs.get(n, part) == part else f"{name}.{n}" for n, part in parts.items()}
    defs.update({names[n]: part for n, part in parts.items()})
    for at in (at for part in (root, *parts.values()) for at in _schemas(part) if "$ref" in at):
        at["$ref"] = f"#/$defs/{names[_name(at)]}"
    return root


def _components(kind: str, defs: dict[str, Schema]) -> None:
    """Adds what all of a kind may say, each by its name, and the choice among them, which is called like the kind."""
    entries = registry.listed(kind)
    besides: Schema = _parts(Metric, kind, defs)["properties"] if kind == "metric" else {}
    for entry in entries:
        options = _options(kind, entry, defs)
        name: Schema = {"const": entry.name, "description": entry.summary}
        defs[f"{kind}.{entry.name}"] = {
            "description": entry.summary, "type": "object",
            "properties": {**besides, "name": name, **options.get("properties", {})},
            "required": ["name", *options.get("required", ())],
            "additionalProperties": options.get("additionalProperties", False),
        }  # fmt: skip
    members = [{"$ref": f"#/$defs/{kind}.{entry.name}"} for entry in entries]
    defs[kind] = {"anyOf": [*members, _own()], "short": "name"}


def _options(kind: str, entry: Entry, defs: dict[str, Schema]) -> Schema:
    """A component's options; one that cannot be imported may have any."""
    try:
        return _parts(registry.settings_of(kind, registry.find(kind, entry.name)), f"{kind}.{entry.name}", defs)
    except Exception:  # noqa: BLE001 - a file of the user's, of which `raysim info` and `raysim validate` tell why
        return {"additionalProperties": True}


def _own() -> Schema:
    """A component of one's own: all that is known is how its name is written."""
    return {"type": "object", "properties": {"name": {"type": "string", "pattern": ":"}}, "required": ["name"]}


def _finished(part: Schema) -> Schema:
    """A schema as editors take it, but for what is short for a mapping."""
    part = deepcopy(part)
    for at in list(_schemas(part)):
        if "oneOf" in at:
            at["anyOf"] = at.pop("oneOf")
        if _open(at):
            at["required"] = ["name"]
        if at.get("type") == "object" and "properties" in at and "additionalProperties" not in at and not _open(at):
            at["additionalProperties"] = False
        if kind := at.get("component"):
            for key in ("type", "anyOf", "additionalProperties", "short"):
                at.pop(key, None)
            at["$ref"] = f"#/$defs/{kind}"
        for key in _DROPPED:
            at.pop(key, None)
    return part


def _open(section: Schema) -> bool:
    """Whether it is of one's own, with any other key."""
    return section.get("properties", {}).get("name", {}).get("pattern") == ":"


def _shorten(part: Schema, defs: Mapping[str, Schema]) -> None:
    """Adds the texts that are short for mappings, where nothing else is required."""
    for at in list(_schemas(part)):
        if key := at.pop("short", None):
            at["anyOf"] = [*_words(at, key, defs), *at["anyOf"]]


def _words(choice: Schema, key: str, defs: Mapping[str, Schema]) -> Iterator[Schema]:
    """Texts that are short for a mapping with this key alone."""
    for member in _members(choice, defs):
        field: Schema = member.get("properties", {}).get(key, {})
        if set(member.get("required", ())) <= {key}:
            if "const" in field:
                about = field.get("description") or member.get("description", "")
                yield {"const": field["const"], "description": about}
            elif (inner := field.get("anyOf")) or "enum" in field or key != "name":
                yield {"anyOf": inner} if inner else {k: v for k, v in field.items() if k != "description"}
            elif "pattern" in field:
                yield {"type": "string", "pattern": field["pattern"]}


def _members(choice: Schema, defs: Mapping[str, Schema]) -> Iterator[Schema]:
    """All sections that a choice leaves."""
    if "$ref" in choice:
        yield from _members(defs[_name(choice)], defs)
        return
    inner: list[Schema] = [*choice.get("anyOf", ()), *choice.get("oneOf", ())]
    if inner:
        for member in inner:
            yield from _members(member, defs)
    else:
        yield choice


def _loosened(defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """Definitions that require something, also through others, once more without that; components have a name."""

    def needed(name: str, at: Schema) -> list[str]:
        found: list[str] = [] if _open(at) else at.get("required", [])
        return [key for key in found if key != "name" or not name.startswith(tuple(f"{kind}." for kind in KINDS))]

    strict = {name for name, part in defs.items() if any(needed(name, at) for at in _schemas(part))}
    while more := {n for n, p in defs.items() if n not in strict and strict & {_name(at) for at in _schemas(p)}}:
        strict |= more
    found: dict[str, Schema] = {}
    for name in strict:
        part = found[f"{name}{_LOOSE}"] = deepcopy(defs[name])
        for at in _schemas(part):
            if missed := needed(name, at):
                at["required"] = [key for key in at["required"] if key not in missed]
            if _name(at) in strict:
                at["$ref"] += _LOOSE
    return found


def _grid(defs: Mapping[str, Schema], scenario: Schema) -> dict[str, Schema]:
    """The grid: dotted keys to lists of what stands there otherwise, or of that with a label; or named arms."""
    typed: dict[str, list[Schema]] = {}
    free: set[str] = set()
    for name, part in scenario["properties"].items():
        if name not in ONCE:
            at = f"#/$defs/scenario{_LOOSE}/properties/{name}"
            _settable(name, part, at, defs, typed, free)
    values = {key: found[0] if len(found) == 1 else {"anyOf": found} for key, found in typed.items()}
    below: dict[str, Schema] = {f"^{key}\\.": {} for key in sorted(free)}
    label = {"type": ["string", "number", "boolean"], "description": "What it is called in tables."}
    arm: Schema = {
        "description": "A named combination of settings.", "type": "object", "required": ["label"],
        "properties": {"label": label, **values}, "patternProperties": below, "additionalProperties": False,
    }  # fmt: skip

    def several(key: str) -> Schema:
        value = {"$ref": f"#/$defs/arm/properties/{key}"}
        named = {"allOf": [{"$ref": "#/$defs/labelled"}], "properties": {"value": value}}
        return {"type": "array", "minItems": 1, "items": {"anyOf": [value, named]}}

    whole = {
        "description": "What is compared: dotted keys to lists of values, which are multiplied out; arm: a list of "
        "named combinations.",
        "type": "object",
        "properties": {
            "arm": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/arm"}},
            **{key: several(key) for key in values},
        },
        "patternProperties": {pattern: {"type": "array", "minItems": 1} for pattern in below},
        "additionalProperties": False,
    }
    labelled = {
        "description": "A value that tables call by a name.", "type": "object", "required": ["label", "value"],
        "properties": {"label": label, "value": {}}, "additionalProperties": False,
    }  # fmt: skip
    return {"grid": whole, "arm": arm, "labelled": labelled}


def _settable(
    key: str, part: Schema, at: str, defs: Mapping[str, Schema], typed: dict[str, list[Schema]], free: set[str]
) -> None:
    """Notes what a dotted key may be, and those below it.

    Args:
        key: dotted.
        part: its schema.
        at: where that stands, as a reference.
        defs: all definitions.
        typed: key -> what it may be, to be added to.
        free: keys below which there may be anything, likewise.
    """
    if {"$ref": at} not in (found := typed.setdefault(key, [])):
        found.append({"$ref": at})
    if at.startswith(tuple(f"#/$defs/{kind}." for kind in KINDS)):  # an option, which may name components again
        free.add(re.escape(key))
        return
    for where, section in _located(part, at, defs):
        if _open(section) or isinstance(section.get("additionalProperties"), dict):
            free.add(re.escape(key))
        for name, field in section.get("properties", {}).items():
            if not _open(section) or name != "name":
                _settable(f"{key}.{name}", field, f"{where}/properties/{name}", defs, typed, free)


def _located(part: Schema, at: str, defs: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """All sections that a field may hold, with where they stand."""
    if "$ref" in part:
        name = _name(part)
        yield from _located(defs[name], f"#/$defs/{name}", defs)
    elif "anyOf" in part:
        for i, member in enumerate(part["anyOf"]):
            yield from _located(member, f"{at}/anyOf/{i}", defs)
    else:
        yield at, part


def _name(at: Schema) -> str:
    """The definition that a schema refers to; empty where it does to none."""
    return str(at.get("$ref", "")).rpartition("/")[2]


def _schemas(part: Schema) -> Iterator[Schema]:
    """A schema and all those in it; what is data (defaults, examples) is none."""
    yield part
    inner: list[Any] = [part.get("items"), part.get("additionalProperties")]
    for key in ("anyOf", "oneOf", "prefixItems"):
        inner += part.get(key, ())
    for key in ("properties", "patternProperties"):
        inner += part.get(key, {}).values()
    for found in inner:
        if isinstance(found, dict):
            yield from _schemas(cast(Schema, found))
