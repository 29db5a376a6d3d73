"""Grids: which values a scenario is repeated with.

`grid` maps dotted keys to lists of values, which are multiplied out; the key `arm` holds a list of named combinations:

    grid:
      arm:
        - {label: FedAvg, method: zero_fill}
        - {label: SCAFFOLD, method: zero_fill, federation.algorithm: scaffold}
      missing.rate: [0.1, 0.5]

A value is shown as it is written, a component by its name, and `{label: small, value: [16, 32]}` by its label.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysim.scenario.errors import Place, ScenarioError, shown
from raysim.scenario.source import MAX_DEPTH, Node

MAX_TRIALS = 10_000
OWN = ("name", "description", "seeds", "grid", "tracking")


@dataclass(frozen=True)
class Point:
    """One choice from a grid: what to set, and the text of each choice by grid key."""

    settings: Mapping[str, Node]
    texts: Mapping[str, str]


def points(grid: Node) -> list[Point]:
    """All combinations, the last key varying fastest.

    Raises:
        ScenarioError: the grid is malformed, repeats itself or is too large.
    """
    if not isinstance(grid.value, Mapping):
        raise ScenarioError(grid.place, "grid", f"must map dotted keys to lists, is {shown(grid.plain())}")
    axes = {key: _arms(node) if key == "arm" else _values(key, node) for key, node in grid.value.items()}
    _refuse_clashes(grid.value, axes.get("arm", []))
    count = math.prod(len(axis) for axis in axes.values())
    if count > MAX_TRIALS:
        raise ScenarioError(grid.place, "grid", f"makes {count} combinations, more than {MAX_TRIALS}; split it")
    return [
        Point(
            {key: node for point in chosen for key, node in point.settings.items()},
            {key: text for point in chosen for key, text in point.texts.items()},
        )
        for chosen in itertools.product(*axes.values())
    ]


def apply(root: Node, settings: Mapping[str, Node]) -> Node:
    """The tree with dotted keys set, outer keys first."""
    for key in sorted(settings, key=lambda k: k.count(".")):
        root = put(root, split(key, settings[key].place), settings[key])
    return root


def put(root: Node, parts: Sequence[str], value: Node, above: str = "") -> Node:
    """The tree with one value replaced or added; what is on the way is made, and a bare name becomes a mapping."""
    if not parts:
        return value
    key = f"{above}.{parts[0]}" if above else parts[0]
    if isinstance(root.value, Mapping):
        children = dict(root.value)
    elif isinstance(root.value, str):
        children = {"name": root}
    elif root.value is None:
        children = dict[str, Node]()
    else:
        raise ScenarioError(value.place, key, f"'{above}' is {shown(root.plain())}, not a mapping; set '{above}' whole")
    children[parts[0]] = put(children.get(parts[0], Node(None, value.place)), parts[1:], value, key)
    return Node(children, root.place)


def split(key: str, place: Place) -> list[str]:
    """The parts of a dotted key."""
    parts = key.split(".")
    if not all(parts) or len(parts) > MAX_DEPTH:
        raise ScenarioError(place, shown(key), "is not a dotted key; write for example federation.rounds")
    return parts


def _values(key: str, node: Node) -> list[Point]:
    _settable(key, node.place, f"grid.{key}")
    items = _list(f"grid.{key}", node)
    pairs = [_labelled(f"grid.{key}.{i}", item) for i, item in enumerate(items)]
    short = [_text(label, options=False) for label, _ in pairs]
    texts = [t if short.count(t) == 1 else _text(label) for t, (label, _) in zip(short, pairs, strict=True)]
    _unique(f"grid.{key}", items, texts)
    return [Point({key: value}, {key: text}) for (_, value), text in zip(pairs, texts, strict=True)]


def _labelled(key: str, item: Node) -> tuple[Node, Node]:
    """What a value is shown as, and the value: a mapping of just `label` and `value` says both."""
    if not isinstance(item.value, Mapping) or set(item.value) != {"label", "value"}:
        return item, item
    label = item.value["label"]
    if label.value is None or isinstance(label.value, Mapping | tuple) or label.value == "":
        raise ScenarioError(label.place, f"{key}.label", f"must be a short text, is {shown(label.plain())}")
    return label, item.value["value"]


def _arms(node: Node) -> list[Point]:
    items = _list("grid.arm", node)
    labels = [_label(f"grid.arm.{i}", item) for i, item in enumerate(items)]
    _unique("grid.arm", items, labels)
    return [Point(_settings(item, i), {"arm": text}) for i, (item, text) in enumerate(zip(items, labels, strict=True))]


def _label(key: str, arm: Node) -> str:
    if not isinstance(arm.value, Mapping):
        raise ScenarioError(
            arm.place, key, f"must be a mapping such as {{label: A, method: …}}, is {shown(arm.plain())}"
        )
    label = arm.value.get("label")
    if label is None or label.value is None or isinstance(label.value, Mapping | tuple) or label.value == "":
        raise ScenarioError(arm.place, f"{key}.label", "is required; write for example 'label: FedAvg'")
    return _text(label)


def _settings(arm: Node, index: int) -> dict[str, Node]:
    assert isinstance(arm.value, Mapping)
    found = {key: value for key, value in arm.value.items() if key != "label"}
    for key, value in found.items():
        _settable(key, value.place, f"grid.arm.{index}.{key}")
    return found


def _settable(key: str, place: Place, where: str) -> None:
    if split(key, place)[0] in OWN:
        raise ScenarioError(place, where, f"'{key}' cannot vary in a grid; set it at the top of the scenario")


def _list(key: str, node: Node) -> tuple[Node, ...]:
    if not isinstance(node.value, tuple) or not node.value:
        raise ScenarioError(node.place, key, f"must be a list with at least one value, is {shown(node.plain())}")
    return node.value


def _unique(key: str, items: Sequence[Node], texts: Sequence[str]) -> None:
    for i, (item, text) in enumerate(zip(items, texts, strict=True)):
        if text in texts[:i]:
            raise ScenarioError(item.place, f"{key}.{i}", f"{shown(text)} is there twice; keep one")


def _refuse_clashes(grid: Mapping[str, Node], arms: Sequence[Point]) -> None:
    for arm in arms:
        for key, node in arm.settings.items():
            if key in grid:
                raise ScenarioError(node.place, key, "is set by an arm and by the grid; keep one")


def _text(node: Node, *, options: bool = True) -> str:
    """A value as folder names and tables show it: a component by its name, with its options where asked."""
    value = node.value
    if isinstance(value, Mapping):
        pairs = ",".join(f"{k}={_text(v)}" for k, v in value.items() if k != "name")
        if "name" not in value:
            return f"{{{pairs}}}"
        return f"{_text(value['name'])}({pairs})" if pairs and options else _text(value["name"])
    if isinstance(value, tuple):
        return f"[{','.join(_text(v) for v in value)}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
