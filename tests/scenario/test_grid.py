import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.grid import apply, points
from raysim.scenario.source import parse


def texts(text):
    return [dict(point.texts) for point in points(parse(text, "f"))]


def applied(base, settings):
    return apply(parse(base, "f"), parse(settings, "f").value).plain()


def test_keys_are_multiplied_the_last_one_fastest():
    assert texts("{missing.rate: [0.1, 0.5], method: [a, b]}") == [
        {"missing.rate": "0.1", "method": "a"},
        {"missing.rate": "0.1", "method": "b"},
        {"missing.rate": "0.5", "method": "a"},
        {"missing.rate": "0.5", "method": "b"},
    ]


def test_arms_are_multiplied_with_keys_and_shown_by_label():
    grid = "{arm: [{label: A, method: a}, {label: B, method: b, federation.algorithm: fedavg}], missing.rate: [0, 1]}"
    assert texts(grid) == [
        {"arm": "A", "missing.rate": "0"},
        {"arm": "A", "missing.rate": "1"},
        {"arm": "B", "missing.rate": "0"},
        {"arm": "B", "missing.rate": "1"},
    ]
    assert [sorted(p.settings) for p in points(parse(grid, "f"))][2] == [
        "federation.algorithm", "method", "missing.rate",
    ]  # fmt: skip


def test_components_are_shown_by_name_and_by_options_where_the_name_is_shared():
    grid = "{method: [zero_fill, {name: fin, dim: 3}, {name: fin, dim: 4, w: [1, 2]}, fin]}"
    assert [t["method"] for t in texts(grid)] == ["zero_fill", "fin(dim=3)", "fin(dim=4,w=[1,2])", "fin"]
    assert [t["a"] for t in texts("{a: [true, null, {b: 1}, [x]]}")] == ["true", "null", "{b=1}", "[x]"]


def test_a_label_stands_for_its_value():
    grid = "{roles: [{label: '8:0:2', value: [{clients: 8}]}, {label: 2, value: null}, {label: x, other: 1}]}"
    assert [t["roles"] for t in texts(grid)] == ["8:0:2", "2", "{label=x,other=1}"]
    assert [p.settings["roles"].plain() for p in points(parse(grid, "f"))] == [
        [{"clients": 8}], None, {"label": "x", "other": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("label", ["null", "''", "[a]", "{b: 1}"])
def test_a_label_is_a_short_text(label):
    with pytest.raises(ScenarioError, match=r"^f:1: grid\.a\.1\.label: must be a short text, is "):
        points(parse(f"{{a: [1, {{label: {label}, value: 3}}]}}", "f"))


def test_an_empty_grid_is_one_point():
    assert texts("{}") == [{}]


def test_setting_replaces_values_whole_and_makes_what_is_missing():
    assert applied("{a: {b: 1, c: 2}}", "{a.b: {x: 3}}") == {"a": {"b": {"x": 3}, "c": 2}}
    assert applied("{a: 1}", "{b.c.d: 2}") == {"a": 1, "b": {"c": {"d": 2}}}
    assert applied("{a:}", "{a.b: 2}") == {"a": {"b": 2}}


def test_a_bare_name_becomes_a_mapping():
    assert applied("{method: zero_fill}", "{method.dim: 3}") == {"method": {"name": "zero_fill", "dim": 3}}


def test_outer_keys_are_set_first():
    assert applied("{}", "{method.dim: 3, method: fin}") == {"method": {"name": "fin", "dim": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]", "f:1: grid: must map dotted keys to lists"),
        ("{a: 1}", "f:1: grid.a: must be a list with at least one value, is 1"),
        ("{a: []}", "f:1: grid.a: must be a list with at least one value"),
        ("{a: [1,\n 1]}", "f:2: grid.a.1: '1' is there twice; keep one"),
        ("{method: [x,\n {name: x}]}", "f:2: grid.method.1: 'x' is there twice; keep one"),
        ("{a..b: [1]}", "f:1: 'a..b': is not a dotted key"),
        ("{seeds: [[1], [2]]}", "f:1: grid.seeds: 'seeds' cannot vary in a grid"),
        ("{arm: [{method: x}]}", "f:1: grid.arm.0.label: is required"),
        ("{arm: [{label: [a], method: x}]}", "f:1: grid.arm.0.label: is required"),
        ("{arm: [x]}", "f:1: grid.arm.0: must be a mapping such as"),
        ("{arm: [{label: a},\n {label: a}]}", "f:2: grid.arm.1: 'a' is there twice"),
        ("{arm: [{label: a, name: x}]}", "f:1: grid.arm.0.name: 'name' cannot vary in a grid"),
        ("{arm: [{label: a,\n b.c: 1}], b.c: [1]}", "f:2: b.c: is set by an arm and by the grid; keep one"),
        (f"{{{','.join(f'a{i}: [1, 2]' for i in range(14))}}}", "f:1: grid: makes 16384 combinations, more than 10000"),
    ],
)
def test_a_malformed_grid_is_refused(text, message):
    with pytest.raises(ScenarioError) as caught:
        points(parse(text, "f"))
    assert str(caught.value).startswith(message)


def test_a_number_cannot_be_set_into():
    with pytest.raises(ScenarioError, match=r"^f:1: a\.b: 'a' is 1, not a mapping; set 'a' whole$"):
        applied("{a: 1}", "{a.b: 2}")
