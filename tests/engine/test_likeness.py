"""What is compared between the driver and the processes of other nodes."""

import copy
import re
import sys
from importlib.metadata import version

import pytest

import raysim
from raysim.engine import likeness, needs
from raysim.engine.environment import NoCluster
from raysim.engine.fingerprint import taken
from raysim.engine.likeness import Neighbours, Unlike, Wanted
from raysim.engine.needs import wanted_for
from raysim.engine.nodes import Node
from raysim.engine.shipping import Code


@pytest.fixture(scope="module")
def here():
    return Wanted.here(packages=["pydantic"])


def other(wanted, **changes):
    """A process that has something else: key -> what is different there."""
    found = copy.deepcopy(wanted.own)
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(value, dict) else value
    return found


def test_a_fingerprint(here):
    own = here.own
    assert own["version"] == raysim.__version__
    assert {"raysim/__init__.py", "raysim/engine/fingerprint.py", "methods/zero_fill.py"} <= set(own["raysim"])
    assert own["wheels"]["torch"] == version("torch")
    assert "pydantic/main.py" in own["packages"]["pydantic"]
    assert own["processor"]
    assert taken(tuple(own["wheels"]), ("pydantic",)) == own
    assert taken(("no-such",), ("no_such",))["wheels"] == {"no-such": ""}
    assert taken((), ("no_such",))["packages"] == {"no_such": {}}


def test_a_like_process_has_no_differences(here):
    assert list(here.differences(other(here, processor="another one"))) == []
    here.check_here()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"python": "3.11.0"}, "Python 3.11.0 there, HERE here"),
        ({"wheels": {"torch": "2.0"}}, "torch 2.0 there, HERE here"),
        ({"wheels": {"torch": ""}}, "torch not installed there, HERE here"),
        ({"wheels": {"pillow": "1.0"}}, "pillow 1.0 there, HERE here"),
        ({"version": "", "raysim": None}, "raysim not installed there, HERE here"),
        ({"packages": {"pydantic": {}}}, "pydantic not installed there, HERE here"),
    ],
)
def test_each_difference_says_both_values(here, changes, line):
    there = other(here, **{key: value for key, value in changes.items() if value is not None})
    if "raysim" in changes:
        there["raysim"] = {}
    (found,) = here.differences(there)
    there, here_ = line.split("HERE")
    assert re.fullmatch(f"{re.escape(there)}[^ ].*{here_}(, in .*)?", found)


def test_another_file_of_raysim_is_named(here):
    (found,) = here.differences(other(here, version="0.0.9", raysim={"raysim/aggregation.py": "0", "raysim/x.py": "1"}))
    assert found.startswith("raysim 0.0.9 (files ")
    assert f") there, {raysim.__version__} (files " in found
    assert found.endswith(") here, in raysim/aggregation.py and 1 more")


def test_a_wheel_that_nobody_needs_may_be_missing(here):
    assert list(here.differences(other(here, wheels={"pillow": ""}))) == []


def test_a_process_that_differs_refuses_itself(here):
    odd = Wanted(other(here, python="3.0"), here.needed)
    with pytest.raises(Unlike, match=r"^node \S+: Python 3\.\d+\.\d+ there, 3\.0 here$"):
        Code(wanted=odd).arrive()


@pytest.fixture
def cluster(monkeypatch, here):
    """Nodes and what each says."""
    answers = {Node("a", "one (10.0.0.1)"): here.own}
    monkeypatch.setattr(likeness, "alive", lambda: list(answers))
    monkeypatch.setattr(likeness, "asked", lambda wanted, nodes: {node: answers[node] for node in nodes})
    return answers


def test_nodes_are_compared_before_anything_starts(cluster, here):
    neighbours = Neighbours(here)
    neighbours.check()
    assert neighbours.remarks == []
    cluster[Node("b", "two (10.0.0.2)")] = other(here, wheels={"torch": "2.0"})
    cluster[Node("c", "three (10.0.0.3)")] = "did not start a process within 60 s"
    with pytest.raises(NoCluster) as caught:
        Neighbours(here).check()
    torch = here.own["wheels"]["torch"]
    assert str(caught.value) == (
        f"node two (10.0.0.2): torch 2.0 there, {torch} here; install the same there; 1 more node differs"
    )


def test_a_node_that_joins_is_compared_once(cluster, here):
    neighbours = Neighbours(here)
    assert neighbours.unlike() == []
    cluster[Node("b", "two (10.0.0.2)")] = other(here, python="3.0")
    assert neighbours.unlike() == [
        f"node two (10.0.0.2): Python 3.0 there, {here.own['python']} here; install the same there"
    ]
    assert neighbours.unlike() == []


def test_another_processor_is_a_remark(cluster, here):
    cluster[Node("b", "two (10.0.0.2)")] = other(here, processor="Z80")
    neighbours = Neighbours(here)
    neighbours.check()
    (remark,) = neighbours.remarks
    assert remark.startswith("last digits may depend on which node does what: two (10.0.0.2) has Z80, and this one ")


def code(source):
    return Code(("/nowhere",), (("/nowhere/mine.py", source), ("/nowhere/words.txt", b"import yaml")))


def test_wheels_that_own_code_imports_are_needed():
    import jinja2  # noqa: F401 - it has to have been imported

    wanted = wanted_for(code(b"import jinja2, json, raysim.method, no_such_module"))
    assert "jinja2" in wanted.needed
    assert wanted.own["wheels"]["jinja2"] == version("jinja2")
    assert "pyyaml" not in wanted.own["wheels"]
    assert wanted.own["packages"] == {}


def test_packages_that_a_scenario_names_are_compared_by_their_files(monkeypatch):
    import markupsafe  # noqa: F401 - likewise

    class Named:
        class scenario:  # noqa: N801
            @staticmethod
            def model_dump(mode):
                return {"method": {"name": "markupsafe._native:Method"}, "b": ["torch.nn:Linear", "mine:Own"], "c": 3}

    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch") or pytest.importorskip("torch"))
    wanted = wanted_for(code(b""), [Named])
    assert list(wanted.own["packages"]) == ["markupsafe"]
    assert "markupsafe/__init__.py" in wanted.own["packages"]["markupsafe"]


def test_own_code_is_collected_with_what_it_wants(monkeypatch, tmp_path):
    monkeypatch.setattr(needs.Neighbours, "check", lambda self: None)
    found, _ = needs.compared([str(tmp_path)])
    assert found.folders == (str(tmp_path),)
    assert found.wanted == Wanted.here()
