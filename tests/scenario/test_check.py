import re
import sys
from pathlib import Path

import pytest

from raysim import registry
from raysim.scenario.check import check, import_paths
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load

BASE = """name: t
dataset: polydigits
partition: {name: iid, clients: 4}
missing: {name: per_client, rate: 0.5}
method: zero_fill
federation: {rounds: 2}
"""
METHOD = """from pydantic import BaseModel
from raysim.method import Method

class Fake(Method):
    class Options(BaseModel):
        freeze: bool = False
        dim: int = 3
"""


@pytest.fixture
def write(tmp_path):
    """Writes a scenario, and a method of its own beside it, and loads the first trial."""
    own = f"own_{tmp_path.name}"

    def run(text=BASE, code=METHOD):
        (tmp_path / f"{own}.py").write_text(code)
        path = tmp_path / "s.yaml"
        path.write_text(text.replace("OWN", own))
        return load(path)[0]

    yield run
    sys.modules.pop(own, None)


def refused(trial):
    with pytest.raises(ScenarioError) as caught:
        check(trial)
    assert "\n" not in str(caught.value)
    return str(caught.value).partition("s.yaml:")[2]


def test_the_base_passes(write):
    check(write())


def test_a_method_beside_the_scenario_is_found_and_its_options_checked(write):
    check(write(BASE.replace("zero_fill", "{name: OWN:Fake, freeze: true}")))
    wrong = write(BASE.replace("zero_fill", "\n  name: OWN:Fake\n  freez: true"))
    assert refused(wrong) == "7: method.freez: unknown key; did you mean 'freeze'?"


def test_imports_come_from_the_scenario_and_the_current_folder(write, tmp_path):
    assert import_paths(write()) == (str(tmp_path.resolve()), str(Path.cwd()))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(:\n", "does not parse: "),
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'; correct the file"),
        ("x = 1 / 0\n", ".py:1: ZeroDivisionError: division by zero; correct the file"),
        ("x = 1\n", "has no method class 'Fake'; write a subclass of Method"),
    ],
)
def test_a_method_file_that_fails_is_one_line(write, code, message):
    line = refused(write(BASE.replace("zero_fill", "OWN:Fake"), code))
    assert line.startswith("5: method.name: 'own_")
    assert message in line


RATE = "{name: per_client, rate: 0.5}"
ROLES = "{name: roles, roles: [{modalities: [m0], clients: 3}]}"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("zero_fill", "zero_fil", "5: method.name: there is no method 'zero_fil'; did you mean 'zero_fill'?"),
        ("zero_fill", "{name: zero_fill, x: 1}", "5: method.x: unknown key; remove it"),
        ("polydigits", "polydigit", "2: dataset.name: there is no dataset 'polydigit'; did you mean 'polydigits'?"),
        (
            "polydigits",
            "{name: polydigits, modalities: 9}",
            "2: dataset.modalities: must be a whole number from 2 to 5, is 9",
        ),
        (
            "2}",
            "2, algorithm: fedavgg}",
            "6: federation.algorithm.name: there is no algorithm 'fedavgg'; did you mean 'fedavg'?",
        ),
        (
            "2}",
            "2, clients_per_round: 5}",
            "6: federation.clients_per_round: is 5, but there are 4 clients; write 4 or less",
        ),
        (
            "2}\n",
            "2}\nevaluation: {metrics: [uar]}\n",
            "7: evaluation.metric: 'accuracy' is not among evaluation.metrics (uar); add it there",
        ),
        (
            "2}\n",
            "2}\nevaluation: {metric: aucroc}\n",
            "7: evaluation.metric: there is no metric 'aucroc'; did you mean 'macro_auc'?",
        ),
        (
            "2}\n",
            "2}\nevaluation: {metrics: [auroc], metric: auroc}\n",
            "7: evaluation.metrics.0.name: there is no metric 'auroc'; did you mean 'macro_auc'?",
        ),
        (
            "2}\n",
            "2}\nevaluation: {metric: acuracy}\n",
            "7: evaluation.metric: 'acuracy' is not among evaluation.metrics (accuracy, uar, macro_f1, macro_auc); "
            "did you mean 'accuracy'?",
        ),
        (
            "2}\n",
            "2}\nevaluation: {metrics: [uar, uar], metric: uar}\n",
            "7: evaluation.metrics: names a metric twice; keep one, or give it another label",
        ),
        (RATE, ROLES, "4: missing.roles: add up to 3 clients, but the partition has 4; make them agree"),
        (
            RATE,
            "none\nevaluation: {missing: same}",
            "5: evaluation.missing: 'same' needs a rate, and missing 'none' has none; write one",
        ),
        (
            RATE,
            "{name: per_client, rate: 0.5}\nevaluation: {missing: roles}",
            "5: evaluation.missing: 'roles' are those of missing: roles, and missing is 'per_client'; write a rate",
        ),
        (
            RATE,
            "{name: per_sample, rate: 0.5}\ncompat: fedmultimodal",
            "4: missing.name: compat: fedmultimodal hides modalities by client; write per_client, file or none",
        ),
        (
            RATE,
            "{name: per_client, rate: 0.5, empty: keep_one}\ncompat: fedmultimodal",
            "4: missing.empty: compat: fedmultimodal leaves clients out that lose everything; write drop",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_its_line(write, old, new, line):
    assert refused(write(BASE.replace(old, new))) == line


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            "def preduct(self, nets, batch):\n        return None",
            "has 'preduct', which nothing calls; did you mean 'predict'?",
        ),
        ("replica = {'task.*': 'round'}", "has 'replica', which nothing calls; did you mean 'replicas'?"),
        ("def _preduct(self, nets, batch):\n        return None", None),
        ("def mean(self, batch):\n        return None", None),
    ],
)
def test_a_misspelt_hook_is_refused(tmp_path, monkeypatch, written, says):
    name = f"spelt_{abs(hash(written))}"
    (tmp_path / f"{name}.py").write_text(f"from raysim.method import Method\n\n\nclass Own(Method):\n    {written}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (trial,) = load(
        Path(__file__).parents[2] / "scenarios" / "quickstart.yaml", ["grid={}", "seeds=[1]", f"method={name}:Own"]
    )
    if says is None:
        check(trial)
        return
    with pytest.raises(ScenarioError, match=re.escape(f"method.name: {name}:Own {says}")):
        check(trial)


def test_names_of_all_that_comes_with_raysim_are_spelt_right():
    for kind in registry.FOLDERS:
        assert [e.name for e in registry.listed(kind) if registry.misspelt(kind, registry.find(kind, e.name))] == []


NET = """from torch import nn

class Net(nn.Module):
    def __init__(self, in_chanels, dim, layers):
        super().__init__()
"""


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            "layers: 2",
            "in_chanels: is required; write a value; or did you mean the parameter 'in_channels', which raysim gives?",
        ),
        ("in_chanels: 3", "layers: is required; write a value"),
        ("in_chanels: 3, layers: 2, in_chanel: 1", "in_chanel: unknown key; did you mean 'in_chanels'?"),
    ],
)
def test_a_parameter_that_is_almost_one_that_raysim_gives(write, options, line):
    model = f"model: {{encoders: {{m0: {{name: 'OWN:Net', {options}}}}}}}\n"
    assert refused(write(BASE + model, NET)).endswith(f"model.encoders.m0.{line}")
