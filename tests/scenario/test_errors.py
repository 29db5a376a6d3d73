import pickle

from raysim.scenario.errors import Place, ScenarioError, shown


def test_one_line_with_place_key_and_message():
    assert str(ScenarioError(Place("a.yaml", 3), "model.dim", "is wrong")) == "a.yaml:3: model.dim: is wrong"
    assert str(ScenarioError(Place("a.yaml"), "", "is a folder")) == "a.yaml: is a folder"
    assert str(ScenarioError(Place("a\n.yaml", 1), "k\x1b[0m", "x")) == r"a\n.yaml:1: k\x1b[0m: x"


def test_survives_pickling():
    error = pickle.loads(pickle.dumps(ScenarioError(Place("a.yaml", 3), "model.dim", "is wrong")))
    assert (error.place, error.key, error.message) == (("a.yaml", 3), "model.dim", "is wrong")
    assert str(error) == "a.yaml:3: model.dim: is wrong"


def test_values_are_shown_as_a_user_writes_them():
    assert [shown(v) for v in (True, None, 1.5, "a\nb")] == ["true", "empty", "1.5", r"'a\nb'"]
    assert shown("x" * 100) == f"'{'x' * 48}…"
