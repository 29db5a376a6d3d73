"""YAML with a line number for every value, and without YAML's traps.

Scalars follow YAML 1.2's core schema: `1e-3` is a number, `no` and `on` are text. Refused, in one line each: equal
keys, anchors and aliases, tags, merge keys, several documents, NaN and infinity, deep nesting, large or binary files.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

import yaml

from raysim.scenario.errors import Place, ScenarioError, one_line, shown

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_INTEGER = 2**63 - 1
MAX_NUMBER = 1e300

NULL = re.compile(r"~|null|Null|NULL|")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

RESOLVERS = (
    ("null", NULL),
    ("bool", TRUE),
    ("bool", FALSE),
    ("int", INTEGER),
    ("float", NUMBER),
    ("float", NOT_FINITE),
)

HINTS = {
    "cannot start any token": "indent with spaces, and put quotes around values that start with a special character",
    "mapping values are not allowed here": "check the indentation, and put quotes around a value that holds ': '",
    "expected <block end>": "check the indentation",
    "could not find expected ':'": "write 'key: value'",
}


@dataclass(frozen=True)
class Node:
    """A value and where it was written. Mappings and lists hold nodes."""

    value: "Mapping[str, Node] | tuple[Node, ...] | str | int | float | bool | None"
    place: Place

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self, key: str = "") -> Iterator[tuple[str, Place]]:
        """Every dotted key at or below this one, with its place."""
        yield key, self.place
        items: Iterator[tuple[object, Node]] = iter(())
        if isinstance(self.value, Mapping):
            items = iter(self.value.items())
        elif isinstance(self.value, tuple):
            items = iter(enumerate(self.value))
        for part, node in items:
            yield from node.walk(f"{key}.{part}" if key else str(part))


def read(path: Path) -> Node:
    """The mapping in a scenario file.

    Raises:
        ScenarioError: the file cannot be read, or breaks a rule of this module.
    """
    whole = Place(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise ScenarioError(whole, "", "is a folder; name the YAML files in it") from error
    except FileNotFoundError as error:
        raise ScenarioError(whole, "", "there is no such file; check the path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ScenarioError(whole, "", f"cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(whole, "", "is larger than 1 MB; a scenario is a short YAML file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(str(path), data.count(b"\n", 0, error.start) + 1)
        raise ScenarioError(place, "", "is not UTF-8 text; save the scenario as UTF-8") from error
    return document(text, str(path))


def document(text: str, path: str) -> Node:
    """The mapping in the text of a scenario; see `parse`.

    Raises:
        ScenarioError: it breaks a rule of this module.
    """
    root = parse(text, path)
    if root.value is None:
        raise ScenarioError(
            Place(path, 1), "", "is empty; write at least name, dataset, partition, method and federation"
        )
    if not isinstance(root.value, Mapping):
        raise ScenarioError(root.place, "", f"must be a mapping of keys to values, is {shown(root.plain())}")
    return root


def parse(text: str, path: str, *, numbered: bool = True) -> Node:
    """The one YAML document in a text; null when there is none.

    Args:
        text: YAML.
        path: what errors name: a file, or a `--set` option.
        numbered: whether places have lines.
    """
    return _Builder(text, path, numbered).document()


class _Builder:
    """Builds nodes from the parser's events, so that nothing is expanded or constructed unseen."""

    def __init__(self, text: str, path: str, numbered: bool) -> None:
        self.path = path
        self.numbered = numbered
        try:
            self.loader = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            raise self.error(line, f"holds the control character {chr(error.character)!r}; remove it") from error

    def place(self, line: int) -> Place:
        """The place of a line counted from 0."""
        return Place(self.path, line + 1 if self.numbered else None)

    def error(self, line: int, message: str, key: str = "") -> ScenarioError:
        return ScenarioError(self.place(line), key, message)

    def next(self) -> Any:
        try:
            return cast(Any, self.loader.get_event())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or "does not parse"
            hint = next((hint for part, hint in HINTS.items() if part in problem), "check quotes and brackets")
            raise self.error(mark.line if mark else 0, f"is not YAML: {problem}; {hint}") from error
        except (ValueError, OverflowError) as error:  # PyYAML lets these through for impossible escapes
            raise self.error(self.loader.line, "is not YAML: an escape names no character; check it") from error

    def document(self) -> Node:
        self.next()  # the stream's start
        first = self.next()
        if isinstance(first, yaml.StreamEndEvent):
            return Node(None, self.place(0))
        root = self.node(self.next(), "", 0)
        self.next()  # the document's end
        after = self.next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.error(after.start_mark.line, "a second document starts here; write one scenario a file")
        return root

    def node(self, event: Any, key: str, depth: int, line: int | None = None) -> Node:
        """The value that starts at an event; `line` is that of its key, where it has one."""
        here = int(event.start_mark.line)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self.error(here, "anchors and aliases are not read; write the value out", key)
        if event.tag is not None:
            raise self.error(here, f"tags such as {event.tag} are not read; write a plain value", key)
        if depth > MAX_DEPTH:
            raise self.error(here, f"is nested deeper than {MAX_DEPTH} levels; write it flatter", key)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = tuple(self.items(key, depth))
        else:
            value = self.mapping(key, depth)
        return Node(value, self.place(here if line is None else line))

    def items(self, key: str, depth: int) -> Iterator[Node]:
        index = 0
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            yield self.node(event, f"{key}.{index}" if key else str(index), depth + 1)
            index += 1

    def mapping(self, key: str, depth: int) -> Mapping[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            name, line = self.key(event, key), int(event.start_mark.line)
            dotted = f"{key}.{name}" if key else name
            if name in found:
                raise self.error(line, f"is there twice (first at {found[name].place}); keep one", dotted)
            found[name] = self.node(self.next(), dotted, depth + 1, line)
        return found

    def key(self, event: Any, parent: str) -> str:
        line = event.start_mark.line
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
            raise self.error(line, "a key must be plain text", parent)
        name = self.scalar(event, parent)
        if not isinstance(name, str):
            raise self.error(line, f"a key must be text, is {shown(name)}; put it in quotes", parent)
        if name == "<<" and event.implicit[0]:
            raise self.error(line, "merge keys are not read; write the keys out", parent)
        return name

    def scalar(self, event: Any, key: str) -> str | int | float | bool | None:
        text: str = event.value
        line = event.start_mark.line
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.error(line, "an escape names half a character; write the character itself", key) from error
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if NOT_FINITE.fullmatch(text):
            raise self.error(line, f"{text} is not a number to compute with; write a finite one", key)
        if NUMBER.fullmatch(text) and not abs(float(text)) <= MAX_NUMBER:
            raise self.error(line, f"{shown(text)} is too large for a number; write a smaller one", key)
        value = resolve(text)
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise self.error(line, f"{shown(text)} is too large for a whole number; stay within 64 bits", key)
        return value


def resolve(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means in YAML 1.2's core schema."""
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text) or FALSE.fullmatch(text):
        return text.lower() == "true"
    if INTEGER.fullmatch(text):
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    return float(text) if NUMBER.fullmatch(text) else text


def write(data: Any) -> str:
    """YAML that `parse` reads back to equal data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def inline(data: Any) -> str:
    """The same in one line."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf, default_flow_style=True)
    return text.removesuffix("\n...\n").strip()


class _Dumper(yaml.SafeDumper):
    """Quotes exactly what `resolve` would not read as text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own class attribute, filled below

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        """Line breaks and the like are written as escapes: PyYAML loses some otherwise."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def other(self, data: Any) -> yaml.Node:
        """Paths, and numbers and arrays of numpy and torch."""
        if isinstance(data, PurePath):
            return self.represent_data(str(data))
        if hasattr(data, "tolist"):
            return self.represent_data(data.tolist())
        if isinstance(data, type):
            raise TypeError(f"{data.__name__} is a class; write where it is found, 'file:{data.__name__}'")
        raise TypeError(f"{one_line(repr(data))[:60]} is no plain value")


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_multi_representer(object, _Dumper.other)
for tag, pattern in RESOLVERS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern.pattern})\Z"), None)
