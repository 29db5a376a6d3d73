import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.source import parse, read, write


def value(text):
    return parse(text, "f").plain()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001), ("1E3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-1.5", -1.5), ("12", 12), ("+7", 7), ("0o17", 15),
        ("0x1f", 31), ("010", 10), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"), ("0b1", "0b1"), ("nan", "nan"), ("'1'", "1"), ('"true"', "true"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(text, expected):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_every_key_and_item_has_its_line():
    root = parse("a:\n  b: [1,\n    2]\nc:\n  - d: x\n    e: |\n      text\n", "f")
    assert {key: place.line for key, place in root.walk()} == {
        "": 1, "a": 1, "a.b": 2, "a.b.0": 2, "a.b.1": 3, "c": 4, "c.0": 5, "c.0.d": 5, "c.0.e": 6,
    }  # fmt: skip


def test_a_byte_order_mark_and_crlf_are_fine(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read(path).plain() == {"a": 1, "b": 2}


def test_a_billion_laughs_are_refused_at_the_first_anchor():
    text = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdef", "bcdefg", strict=True))
    with pytest.raises(ScenarioError, match=r"^f:1: a: anchors and aliases are not read"):
        parse(text, "f")


def test_a_recursive_alias_is_refused():
    with pytest.raises(ScenarioError, match=r"^f:1: a: anchors"):
        parse("a: &a [*a]\n", "f")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 50_000])
def test_deep_nesting_is_refused_without_recursion(text):
    with pytest.raises(ScenarioError, match=r"is nested deeper than 20 levels"):
        parse(text, "f")


def test_a_set_option_has_no_line():
    with pytest.raises(ScenarioError, match=r"^--set a=\[: is not YAML"):
        parse("[", "--set a=[", numbered=False)


@pytest.mark.parametrize(
    "text",
    ["no", "1e-3", "1_0", "0o7", ".nan", "-.inf", "null", "", "true", "012", "12:30", "=", "- a", "a: b", "# c", "'",
     "x\ny\n", "\t", "\x07", "\x85", "\u2028", "é ☃", " a ", "a" * 300 + " b"],
)  # fmt: skip
def test_what_is_written_is_read_back(text):
    data = {"k": text, "list": [text, {"x": text}]}
    assert value(write(data)) == data


def test_numbers_are_written_exactly():
    data = {"k": [1e16, 1e-16, 0.1, 1.0, 5e-324, 3, -2, None, True, False]}
    found = value(write(data))
    assert found == data
    assert [type(v) for v in found["k"]] == [type(v) for v in data["k"]]


def test_plain_text_is_written_plainly():
    assert write({"name": "zero_fill", "set": "no", "number": "1e-3"}) == "name: zero_fill\nset: no\nnumber: '1e-3'\n"
