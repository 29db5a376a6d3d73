"""What the README shows works as shown. (Its conversion of CMU-MOSI is run in tests/data/test_arrays.py.)"""

import ast
import math
import re
import shlex
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from raysim import registry
from raysim.cli import app as cli
from raysim.report.events import RoundFinished
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import dump, load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
SMALL = ["federation.rounds=1", "federation.local_epochs=1", "dataset={name: polydigits, modalities: 2, copies: 1}"]


def block(language, start):
    (found,) = [code for kind, code in BLOCKS if kind == language and code.startswith(start)]
    return found


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "my_study.yaml"
    path.write_text(block("yaml", "name: my_study"), encoding="utf-8")
    return path


def test_its_scenario_is_what_it_says(study):
    trials = load(study)
    for trial in trials:
        check(trial)
    assert len(trials) == 2 * 2 * 3
    assert trials[0].name == "missing.rate=0.3,method=zero_fill,seed=1"


def test_its_method_trains_beside_the_scenario(study):
    (study.parent / "mean_fill.py").write_text(block("python", '"""The mean of'), encoding="utf-8")
    settings = [*SMALL, "grid={}", "method=mean_fill:MeanFill", "seeds=[1]", "numerics.stack=2", "numerics.device=cpu"]
    (trial,) = load(study, settings)
    check(trial)
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    (record,) = [
        e.record for e in Simulation(job, LocalExecutor(job), prepared.info).run() if isinstance(e, RoundFinished)
    ]
    assert math.isfinite(record["loss"]["task"])
    assert 0 < record["test"]["accuracy"] < 1


def test_its_encoder_trains_beside_the_scenario(study):
    (study.parent / "mynet.py").write_text(block("python", "from torch import nn"), encoding="utf-8")
    own = 'model={encoders: {m0: {name: "mynet:Tower", width: 8}}}'
    settings = [*SMALL, "grid={}", "method=zero_fill", own, "seeds=[1]", "numerics.device=cpu", "numerics.stack=1"]
    (trial,) = load(study, settings)
    check(trial)
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    (loss,) = [
        e.record["loss"]["task"]
        for e in Simulation(job, LocalExecutor(job), prepared.info).run()
        if isinstance(e, RoundFinished)
    ]
    assert math.isfinite(loss)
    assert job.obstacle.startswith("task.m0")


def test_its_own_parts_train_beside_the_scenario(tmp_path):
    (tmp_path / "mine.py").write_text(block("python", '"""mine.py'), encoding="utf-8")
    path = tmp_path / "own_parts.yaml"
    path.write_text(block("yaml", "name: own_parts"), encoding="utf-8")
    (trial,) = load(path, ["federation.rounds=1", "dataset.copies=1", "numerics.device=cpu", "numerics.stack=2"])
    check(trial)
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    events = Simulation(job, LocalExecutor(job), prepared.info).run()
    (record,) = [e.record for e in events if isinstance(e, RoundFinished)]
    assert np.diff(prepared.data.sizes).min() > 0
    assert 0 < prepared.data.hidden["training"] < 0.5
    assert 0 < record["test"]["brier"] < 2
    assert prepared.info.low == ("loss", "brier")


def test_its_whole_networks_are_valid(tmp_path):
    path = tmp_path / "whole.yaml"
    text = block("yaml", "model:\n  head: {hidden: null}\n  encoders:\n    text: {name: transformers")
    path.write_text(f"name: whole\ndataset: covid_cxr\nmodalities: [text]\npartition: {{name: iid, clients: 2}}\n"
                    f"method: zero_fill\nfederation: {{rounds: 1}}\n{text}", encoding="utf-8")  # fmt: skip
    with pytest.raises(ScenarioError, match=r"model.encoders.text.*all-MiniLM-L6-v2"):  # no such folder here
        load(path)


def test_its_commands_exist(study, monkeypatch, capsys):
    monkeypatch.chdir(study.parent)
    lines = [line.partition("#")[0] for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("raysim ")]
    assert {c[0] for c in commands} == {"run", "validate", "plan", "list", "info", "predict", "data", "doctor"}
    for command in commands:
        if command[0] in ("validate", "list", "info") or command[:2] in (["data", "list"], ["data", "info"]):
            assert cli.main(command) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.ray
def test_its_notebook(tmp_path):
    small = load(ROOT / "scenarios" / "quickstart.yaml", [*SMALL, "grid={}", "method=zero_fill", "placement.actors=1"])
    (tmp_path / "my_study.yaml").write_text(dump(small[0].scenario), encoding="utf-8")
    cells = [block("python", "import raysim"), "(len(rows), study.frame().shape, trial.state, sorted(shapes))"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # The kernel is this Python, whatever kernels the user has.
    kernels = KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels)
    client = NotebookClient(book, km=manager, timeout=200, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(cleanup_kc=True)
    (told,) = book.cells[1].outputs
    rows, shape, state, modalities = ast.literal_eval(told["data"]["text/plain"])
    assert shape == (rows, 6)
    assert rows > 0
    assert (state, modalities) == ("finished", ["m0", "m1"])


def test_its_preparations_want_nothing_but_the_files(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path))
    lines = [line.partition("#")[0] for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("raysim data prepare")]
    assert len(commands) == 3
    for command in commands:
        assert cli.main(command) == 2
        assert re.match(rf"raysim: .* (does not exist|missing).*; get {command[2]} from ", capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["dataset", "feature"])
def test_every_dataset_and_extractor_is_in_its_tables(kind):
    part = TEXT.partition("## The papers' data")[2].partition("\n## ")[0]
    known = {e.name for e in registry.listed(kind)} - {"arrays", "polydigits", "synthetic"}
    assert known <= set(re.findall(r"`(\w+)`", part))


def test_every_generator_is_in_its_table():
    table = TEXT.partition("### Generators")[2].partition("\n## ")[0]
    assert {e.name for e in registry.listed("generator")} == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_every_method_is_in_its_table():
    names = {p.stem for p in (ROOT / "methods").glob("*.py")} - {"__init__"}
    table = TEXT.partition("## Methods")[2].partition("###")[0]
    assert names == set(re.findall(r"`(\w+)`(?=[,| ])", table)) & names
