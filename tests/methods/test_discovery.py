"""A new method is one new file, and nothing else changes."""

import sys

import pytest

import methods
from raysim import registry
from raysim.method import Method
from raysim.scenario.check import check
from raysim.scenario.trial import load

NEGATED = '''"""Negated filling: what is there counts with the other sign.

Source: these tests.
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from raysim.method import Batch, Feature, Method, Nets, Streams


class Negated(Method):
    """Every embedding is scaled by a negative number."""

    class Options(BaseModel):
        """How much."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        scale: float = Field(default=-1.0, lt=0)

    options: Options

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Scaled embeddings."""
        return {m: replace(f, tokens=self.options.scale * f.tokens) for m, f in features.items()}
'''
SCENARIO = """name: own
dataset: polydigits
partition: {name: iid, clients: 2}
method: {name: "%s", scale: %s}
federation: {rounds: 1}
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Paths and modules that a test adds are gone after it."""
    before = set(sys.modules)
    monkeypatch.setattr(methods, "__path__", list(methods.__path__))
    yield
    for name in set(sys.modules) - before:
        if name.rpartition(".")[2] in ("negated", "negated_outside"):
            del sys.modules[name]
            vars(methods).pop(name.removeprefix("methods."), None)


def trains(data, make_job, new_run, name):
    run = new_run(make_job(data, {"name": name, "scale": -2.0})).go()
    assert type(run.job.method).__name__ == "Negated"
    return all(run.x[n].tobytes() != run.start[n].tobytes() for n in run.x)


def checked(folder, name, scale="-2.0"):
    path = folder / "own.yaml"
    path.write_text(SCENARIO % (name, scale))
    (trial,) = load(path)
    check(trial)


def test_a_file_beside_the_scenario_is_a_dotted_name(tmp_path, tiny_data, make_job, new_run):
    (tmp_path / "negated_outside.py").write_text(NEGATED)
    checked(tmp_path, "negated_outside:Negated")
    assert trains(tiny_data("mixed"), make_job, new_run, "negated_outside:Negated")


def test_its_options_are_checked_before_anything_starts(tmp_path):
    (tmp_path / "negated_outside.py").write_text(NEGATED)
    with pytest.raises(ValueError, match=r"own\.yaml:4: method\.scale: "):
        checked(tmp_path, "negated_outside:Negated", "2.0")


def test_a_file_dropped_into_methods_is_a_short_name(tmp_path, monkeypatch, tiny_data, make_job, new_run):
    assert "negated" not in [e.name for e in registry.listed("method")]
    (tmp_path / "negated.py").write_text(NEGATED)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.setattr(methods.__spec__, "submodule_search_locations", methods.__path__)
    entry = next(e for e in registry.listed("method") if e.name == "negated")
    assert entry.summary == "Negated filling: what is there counts with the other sign."
    checked(tmp_path, "negated")
    assert issubclass(registry.find("method", "negated"), Method)
    assert trains(tiny_data("mixed"), make_job, new_run, "negated")


def test_a_folder_methods_where_one_works_stands_beside_raysims_own(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "negated.py").write_text(NEGATED)
    checked(tmp_path, "negated")
    checked(tmp_path, "methods.negated:Negated")
    assert registry.find("method", "zero_fill").__module__ == "methods.zero_fill"


def test_a_method_of_a_name_that_raysim_has_is_refused_with_its_file(tmp_path):
    (tmp_path / "methods").mkdir()
    own = tmp_path / "methods" / "zero_fill.py"
    own.write_text(NEGATED)
    with pytest.raises(ValueError, match=rf"there are two methods 'zero_fill', .* and {own}; rename yours"):
        checked(tmp_path, "zero_fill")
    own.write_bytes((registry.HOME / "zero_fill.py").read_bytes())
    registry.find("method", "zero_fill")


@pytest.mark.parametrize("file", ["methods.py", "methods/__init__.py"])
def test_a_module_methods_on_the_path_hides_nothing(tmp_path, monkeypatch, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("raise SystemError")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "methods")
    assert "zero_fill" in [e.name for e in registry.listed("method")]
    assert sys.modules["methods"].__file__ == str(registry.HOME / "__init__.py")


def test_a_file_that_another_module_hides_is_named(tmp_path):
    (tmp_path / "json.py").write_text(NEGATED)
    hidden = tmp_path / "json.py"
    with pytest.raises(
        ValueError, match=rf"'json' has no method class 'Negated'; rename {hidden}, which another module"
    ):
        checked(tmp_path, "json:Negated")
