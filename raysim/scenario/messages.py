"""What pydantic finds wrong, in plain words.

A model's JSON schema says what a field may hold; the sentence "must be …, is …" is made from that and from what the
user wrote, whatever the check that failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from pydantic import ValidationError

from raysim.scenario.errors import shown

Schema = Mapping[str, Any]

NOUNS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text",
         "null": "null", "object": "a mapping"}  # fmt: skip
KEYS = {"extra_forbidden": 0, "missing": 2}
"""Problems whose location ends in the key that is too much or missing; what to tell first."""
BOUNDS = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "of at most", "exclusiveMaximum": "below"}


def near(name: str, names: Sequence[str]) -> str:
    """`did you mean 'x'?`, or all that there is."""
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(names)}" if names else "remove it"


def explain(error: ValidationError, schema: Schema, value: Any) -> tuple[str, str]:
    """The dotted key and the message of the most telling problem.

    Args:
        error: what pydantic found.
        schema: the model's JSON schema.
        value: what was validated, as plain data.
    """
    problem = min(error.errors(include_url=False), key=lambda e: _rank(e, value))
    kind, parts = problem["type"], cast(tuple[Any, ...], problem["loc"])
    name = str(parts[-1]) if kind in KEYS and isinstance(parts[-1], str) else ""
    found, path = value, list[str]()
    schemas = _options(schema, schema, value)
    for part in parts[:-1] if kind in KEYS else parts:
        if _has(found, part):
            path.append(str(part))
            found = found[part]
        elif part != "name" or not isinstance(found, str):  # text is short for a mapping with that name
            continue  # pydantic's own part, for a member of a union
        schemas = [o for s in _below(schemas, part) for o in _options(schema, s, found)]
    return ".".join([*path, name] if name else path), _sentence(problem, name, schemas, found)


def _rank(problem: Any, value: Any) -> tuple[int, int]:
    """Lowest first: an unknown key often explains a missing one; of a union's complaints the deepest tells most."""
    depth = 0
    part: Any
    for part in problem["loc"]:
        if _has(value, part):
            value, depth = value[part], depth + 1
    return KEYS.get(problem["type"], 1), -depth


def _sentence(problem: Any, name: str, schemas: list[Schema], found: Any) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _unknown(name, schemas)
    if kind == "missing" and name:
        return _required(name, schemas, found)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _name(schemas, found)
    if kind in ("value_error", "assertion_error"):
        return str(problem["ctx"]["error"])
    return _expected_and_found(schemas, found) or str(problem["msg"])


def _unknown(name: str, schemas: list[Schema]) -> str:
    if "." in name:
        head, _, rest = name.partition(".")
        return f"dots are for grid and --set only; nest it: '{head}: {{{rest}: …}}'"
    return f"unknown key; {near(name, [n for s in schemas for n in s.get('properties', {})])}"


def _required(name: str, schemas: list[Schema], found: Any) -> str:
    fields: list[Schema] = [s["properties"][name] for s in schemas if name in s.get("properties", {})]
    if not fields or "examples" not in fields[0]:
        return f"is required; write {expected(fields) or 'a value'}"
    pair = f"{name}: {fields[0]['examples'][0]}"
    example = f"{{name: {found}, {pair}}}" if isinstance(found, str) else pair
    return f"is required; write for example '{example}'"


def _name(schemas: list[Schema], found: Any) -> str:
    names = [str(n) for s in schemas for n in _choices(s.get("properties", {}).get("name", {}))]
    name: Any = cast(Schema, found).get("name") if isinstance(found, Mapping) else found
    if name is None:
        return f"needs a name; there are: {', '.join(names)}"
    return f"there is none named {shown(name)}; {near(str(name), list(dict.fromkeys(names)))}"


def _expected_and_found(schemas: list[Schema], found: Any) -> str:
    wanted = expected(schemas)
    choices = [str(c) for s in schemas for c in _choices(s)]
    close = get_close_matches(found, choices, n=1) if isinstance(found, str) else []
    hint = f"; did you mean '{close[0]}'?" if close else _way_out({str(s.get("type")) for s in schemas}, found)
    return f"must be {wanted}, is {shown(found)}{hint}" if wanted else ""


def _way_out(types: set[str], found: Any) -> str:
    """What to do about a value of the wrong type, where that is not plain from what it must be."""
    if isinstance(found, str) and types & {"integer", "number"} and found.replace(".", "", 1).lstrip("-").isdigit():
        return "; remove the quotes"
    if isinstance(found, int | float) and types == {"string"}:
        return "; put it in quotes"
    if isinstance(found, str | int | float) and types == {"array"}:
        return f"; write [{found}]"
    return ""


def expected(schemas: Sequence[Schema]) -> str:
    """What a value may be, as in `a whole number of at least 1 or 'all'`; empty when the schema does not say."""
    *others, last = dict.fromkeys(p for s in schemas for p in _phrases(s)) or [""]
    return f"{', '.join(others)} or {last}" if others else last


def wanted(root: Schema, schema: Schema) -> str:
    """What a field of a model may hold, in words; of what has variants also their names."""
    members = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    names = [str(n) for m in members for n in m.get("discriminator", {}).get("mapping", {})]
    phrase = expected(_options(root, schema, None))
    return f"{phrase}; names: {', '.join(names)}" if names else phrase


def _phrases(schema: Schema) -> list[str]:
    if "anyOf" in schema:
        return [phrase for s in schema["anyOf"] for phrase in _phrases(s)]
    choices = ["null" if c is None else shown(c) for c in _choices(schema)]
    return choices or [p for p in [_phrase(schema)] if p]


def _phrase(schema: Schema) -> str:
    kind = str(schema.get("type", ""))
    if kind == "array":
        return _list_phrase(schema)
    if "pattern" in schema:
        return str(schema.get("phrase", f"text that matches {schema['pattern']}"))
    if "name" in schema.get("properties", {}):
        return "a name or a mapping with a name"
    noun = f"text of at least {schema['minLength']} character" if schema.get("minLength") else NOUNS.get(kind, "")
    if "minimum" in schema and "maximum" in schema:
        return f"{noun} from {schema['minimum']:g} to {schema['maximum']:g}"
    bounds = [f"{words} {schema[bound]:g}" for bound, words in BOUNDS.items() if bound in schema]
    return " ".join([noun, " and ".join(bounds)]).strip()


def _list_phrase(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])} values"
    if schema.get("minItems"):
        return f"a list with at least {schema['minItems']} value"
    return "a list"


def _choices(schema: Schema) -> list[Any]:
    return list(schema.get("enum", ())) + ([schema["const"]] if "const" in schema else [])


def _options(root: Schema, schema: Schema, value: Any) -> list[Schema]:
    """The alternatives of a schema that fit the value's name, references followed."""
    if "$ref" in schema:
        return _options(root, root["$defs"][schema["$ref"].rpartition("/")[2]], value)
    name: Any = cast(Schema, value).get("name") if isinstance(value, Mapping) else value
    mapping = schema.get("discriminator", {}).get("mapping", {})
    if isinstance(name, str) and name in mapping:
        return _options(root, {"$ref": mapping[name]}, value)
    members = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    found = [o for m in members for o in _options(root, m, value)]
    own = [o for o in found if isinstance(name, str) and name in _names(o)]
    return own or found or [schema]


def _names(schema: Schema) -> list[Any]:
    """The names that a section may have."""
    name: Schema = schema.get("properties", {}).get("name", {})
    return [choice for s in (name, *name.get("anyOf", ())) for choice in _choices(s)]


def _below(schemas: list[Schema], part: str | int) -> list[Schema]:
    """The schemas of a key or list item."""
    return [found for s in schemas for found in _children(s, part)]


def _children(schema: Schema, part: str | int) -> Iterator[Schema]:
    if isinstance(part, str):
        more = schema.get("additionalProperties")
        if part in schema.get("properties", {}):
            yield schema["properties"][part]
        elif isinstance(more, Mapping):
            yield more
    elif part < len(schema.get("prefixItems", ())):
        yield schema["prefixItems"][part]
    elif "items" in schema:
        yield schema["items"]


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(cast(list[Any], value))
