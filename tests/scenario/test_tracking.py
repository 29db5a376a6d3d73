import importlib.machinery
import importlib.util

import pytest

from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.tracking import tracked
from raysim.scenario.trial import load

BASE = """name: t
seeds: [1, 2]
dataset: polydigits
partition: {name: iid, clients: 4}
method: zero_fill
federation: {rounds: 2}
tracking:
  - {name: tensorboard, logdir: runs}
"""


@pytest.fixture
def trials(tmp_path):
    def trials(*names, text=BASE):
        path = tmp_path / "s.yaml"
        path.write_text(text)
        return tracked(load(path), names)

    return trials


@pytest.fixture
def installed(monkeypatch):
    """Says which packages are there."""
    real = importlib.util.find_spec

    def say(**packages):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: packages.get(name) or real("json"))

    return say


def refused(trial):
    with pytest.raises(ScenarioError) as caught:
        check(trial)
    return str(caught.value).rpartition("/")[2]


def test_the_command_line_adds_what_is_not_there(trials):
    for trial in trials("mlflow", "tensorboard", "mlflow"):
        assert [(t.name, t.options) for t in trial.scenario.tracking] == [
            ("tensorboard", {"logdir": "runs"}), ("mlflow", {}),
        ]  # fmt: skip


def test_a_name_that_is_none_is_said_of_the_option(trials):
    trial, _ = trials("tensorbord")
    assert refused(trial) == (
        "--track tensorbord: tracking.1.name: there is no tracker 'tensorbord'; did you mean 'tensorboard'?"
    )


@pytest.mark.parametrize(
    ("tracker", "line"),
    [
        ("{name: tensorboard, logdr: x}", "tracking.0.logdr: unknown key; did you mean 'logdir'?"),
        ("{name: mlflow, uri: 'file:///x'}", "is a folder of files, which MLflow has given up"),
        ("{name: tensorboard, timeout_s: 0}", "tracking.0.timeout_s: must be a number above 0"),
    ],
)
def test_an_option_that_is_wrong_is_said_with_its_line(trials, installed, tracker, line):
    installed()
    trial, _ = trials(text=BASE.replace("{name: tensorboard, logdir: runs}", tracker))
    found = refused(trial)
    assert found.startswith("s.yaml:8: tracking.0.")
    assert line in found


def test_a_tracker_is_there_once(trials):
    trial, _ = trials(text=BASE + "  - tensorboard\n")
    assert refused(trial) == "s.yaml:9: tracking.1: 'tensorboard' is there twice; keep one"


def test_an_absent_package_is_said_with_the_way_to_get_it(trials, monkeypatch, tmp_path):
    (tmp_path / "tensorboard").mkdir()  # a folder of that name is no package
    trial, _ = trials()
    real = importlib.util.find_spec
    here = importlib.machinery.PathFinder.find_spec("tensorboard", [str(tmp_path)])
    assert here is not None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: here if name == "tensorboard" else real(name))
    assert refused(trial) == (
        "s.yaml:8: tracking.0.name: 'tensorboard' needs the package tensorboard; pip install 'raysim[tensorboard]'"
    )


def test_a_tracker_cannot_vary(trials):
    with pytest.raises(ScenarioError, match="'tracking' cannot vary in a grid"):
        trials(text=BASE + "grid: {tracking: [[mlflow]]}\n")


def test_what_is_not_ready_is_said_before_anything_starts(trials, installed, monkeypatch, tmp_path):
    installed()
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    trial, _ = trials("wandb")
    assert refused(trial).startswith("--track wandb: tracking.1: Weights & Biases has no key; run 'wandb login'")
