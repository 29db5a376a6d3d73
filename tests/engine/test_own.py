"""Trials with encoders and fusions of one's own: the same bits everywhere, and what is said before anything starts."""

import json
import sys

import numpy as np
import pytest

import raysim
from raysim.cli.app import main
from raysim.report.events import StudyStarted, TrialFinished
from raysim.report.files import FileSink
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job
from raysim.training.kept import ModelError

STACKED = (
    "model.encoders.image={name: ray_modules:Tower, width: 3}",
    "model.fusion={name: ray_modules:Gate, hidden: 2}",
)
PLAIN = ("model.encoders.image=ray_modules:Plain", "model.encoders.sequence=ray_modules:Recurrent")


def numbers(found):
    return {name: np.frombuffer(x, np.float32) for name, x in found["weights"].items()}


def test_a_stack_of_four_is_one_after_another(small):
    one, four = (numbers(small.run(small.trial(*STACKED, f"numerics.stack={stack}"))) for stack in (1, 4))
    assert one["task.image"].shape == (3 * 9 + 3 + 3 * 8 + 8,)
    for name, weights in one.items():
        np.testing.assert_allclose(four[name], weights, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.ray
@pytest.mark.parametrize(
    "settings", [STACKED, PLAIN, (*STACKED, "model.encoders.image.freeze=['net.*']")], ids=["own", "plain", "frozen"]
)
def test_the_same_bits_on_ray_as_in_process(small, local_ray, settings):
    trial = small.trial(*settings, "numerics.stack=4")
    expected = small.same_on_ray(trial)
    job = Job(trial, prepare(trial).data)
    first = {n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared}
    assert all((numbers(expected)[n] != first[n]).any() for n in first)


def test_what_keeps_clients_from_being_stacked_is_said(small):
    def job(*settings):
        trial = small.trial(*settings)
        return Job(trial, prepare(trial).data)

    assert job(*STACKED).obstacle == ""
    assert job(*PLAIN).obstacle == "task.image has a Conv2d, which takes no client axis"


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("model.encoders.image={name: ray_modules:Tower, widht: 3}",
         "model.encoders.image.widht: unknown key; did you mean 'width'?"),
        ("model.encoders.image={name: ray_modules:Tower, width: wide}",
         "model.encoders.image.width: must be a whole number, is 'wide'"),
        ("model.encoders.image={name: ray_modules:Tower, rates: [0.1, x]}",
         "model.encoders.image.rates.1: must be a number, is 'x'"),
        ("model.encoders.image=ray_modules:Towr",
         "model.encoders.image.name: 'ray_modules' has no encoder class 'Towr'; did you mean 'Tower'?"),
        ("model.encoders.image=nowhere:Tower",
         "model.encoders.image.name: there is no module 'nowhere'; put it beside the scenario, in the current folder, "
         "or install it"),
        ("model.fusion={name: ray_modules:Gate, hiden: 3}", "model.fusion.hiden: unknown key; did you mean 'hidden'?"),
        ("model.fusion=attentoin", "model.fusion: there is none named 'attentoin'; did you mean 'attention'?"),
        ("model.encoders.image=cn",
         "model.encoders.image: must be 'cnn', 'conv_gru', 'gru', 'mlp', 'embedding_gru', 'resnet50', 'bert', 'auto', "
         "'transformers', 'torchvision' or package.module:Class, is 'cn'; did you mean 'cnn'?"),
        ("model.encoders.image={name: cnn, widht: 3}",
         "model.encoders.image.widht: unknown key; did you mean 'weights'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_its_settings(small, setting, line):
    with pytest.raises(ScenarioError) as caught:
        small.trial(setting)
    assert str(caught.value).startswith(f"--set {setting}: {line}")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A scenario of arrays, whose shapes are known without reading them, and modules beside it."""
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    arrays = {
        "x.image": rng.standard_normal((30, 1, 6, 6)) + y[:, None, None, None],
        "x.v": rng.standard_normal((30, 4)),
        "y": y,
        "split": np.repeat(["train", "validation", "test"], 10),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    name = f"own_{tmp_path.name}"

    def write(encoder, code=""):
        (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / "s.yaml").write_text(json.dumps({
            "name": "s", "dataset": {"name": "arrays", "path": str(tmp_path / "a.npz")}, "method": "zero_fill",
            "partition": {"name": "iid", "clients": 2}, "federation": {"rounds": 2, "batch_size": 4},
            "model": {"dim": 4, "encoders": {"image": encoder.replace("OWN", name)}},
            "evaluation": {"missing": "none"}, "numerics": {"device": "cpu", "stack": 1},
        }))  # fmt: skip
        return name

    yield write
    sys.modules.pop(name, None)


NARROW = """from torch import nn
class Narrow(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(36, dim - 1)
    def forward(self, x):
        return self.linear(x.flatten(1))
"""
ZERO = """from torch import nn
class Narrow(nn.Module):
    def __init__(self):
        1 / 0
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (NARROW, "'OWN:Narrow' gives the shape (3, 3), and (3, 4) is wanted, or (3, T, 4) for T tokens"),
        (ZERO, "'OWN:Narrow' cannot be built: FILE:4: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_validate_tries_it_without_reading_the_data(home, tmp_path, capsys, code, message):
    name = home("OWN:Narrow", code)
    assert main(["validate", "s.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    message = message.replace("OWN", name).replace("FILE", str(tmp_path / f"{name}.py"))
    assert line == f"s.yaml:1: model.encoders.image: {message}"


def test_a_file_that_is_not_there_or_does_not_parse(home, capsys):
    home("no_such:Tower")
    assert main(["validate", "s.yaml"]) == 2
    assert "model.encoders.image.name: there is no module 'no_such'; put it beside" in capsys.readouterr().err
    name = home("OWN:Tower", "def f(:\n")
    assert main(["validate", "s.yaml"]) == 2
    assert f"model.encoders.image.name: '{name}:Tower' does not parse" in capsys.readouterr().err


WIDE = NARROW.replace("dim - 1", "dim")


def test_a_kept_model_is_built_of_it_again(home, tmp_path):
    name = home("OWN:Narrow", WIDE)
    sys.path.append(str(tmp_path))
    prepared = prepare(load(tmp_path / "s.yaml")[0])
    job = Job(prepared.trial, prepared.data)
    sink, out = FileSink(tmp_path / "out"), tmp_path / "out" / "s" / prepared.info.name
    sink.handle(StudyStarted((prepared.info,), str(tmp_path / "out"), "this machine"))
    events = list(Simulation(job, LocalExecutor(job), prepared.info).run())
    for event in events:
        sink.handle(event)
    model = raysim.load(out)
    (summary,) = (e.summary for e in events if isinstance(e, TrialFinished))
    assert model.evaluate() == summary["splits"]
    assert type(model.networks["task.image"].net).__name__ == "Narrow"
    assert model.state_dicts()["task.image"]["net.linear.weight"].shape == (4, 36)
    chances = model.predict({"v": np.zeros((2, 4), np.float32)})
    assert chances.sum(1) == pytest.approx(np.ones(2), abs=1e-6)
    (tmp_path / f"{name}.py").unlink()
    sys.modules.pop(name)
    with pytest.raises(ModelError, match=f"there is no module '{name}'; put it beside the scenario"):
        raysim.load(out)
