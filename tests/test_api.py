"""raysim from Python: what a notebook does."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from studies import keep, small_study, summary, write_study

import raysim
from raysim.disk import hold
from raysim.report.live.follow import at_work

PUBLIC = [
    "DataError", "FolderError", "ModelError", "NoCluster", "Predictor", "ScenarioError", "Study", "Trial",
    "__version__", "load", "open", "run", "validate",
]  # fmt: skip
NOTEBOOK = """
import raysim

said = []
class Sink:
    def handle(self, event): said.append(type(event).__name__)
    def close(self): said.append("closed")

study = raysim.run(scenario, out="out", overrides={"federation.rounds": 2}, progress="none", sinks=[Sink()])
trial = study.trials[0]
"""


def scenario(**more):
    return {
        "name": "note", "dataset": "polydigits", "partition": {"name": "iid", "clients": 4},
        "missing": {"name": "per_sample", "rate": 0.3}, "grid": {"method": ["zero_fill", "uniform_fill"]},
        "federation": {"rounds": 3, "batch_size": 64}, "evaluation": {"missing": "same"},
        "placement": {"actors": 1}, **more,
    }  # fmt: skip


def python(code, folder, **environment):
    """Runs code in a process of its own, as a notebook's kernel would."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names():
    assert sorted(raysim.__all__) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(raysim, name)] == []
    with pytest.raises(AttributeError, match="module 'raysim' has no attribute 'nothing'"):
        raysim.nothing  # noqa: B018


def test_importing_raysim_loads_neither_torch_nor_ray(tmp_path):
    said = python("import sys, raysim; raysim.run; print([m for m in ('torch', 'ray') if m in sys.modules])", tmp_path)
    assert said == "[]\n"


@pytest.mark.slow
@pytest.mark.ray
def test_a_notebook(tmp_path):
    code = f"scenario = {scenario()!r}\n" + NOTEBOOK + textwrap.dedent("""
        import json
        assert [t.state for t in study.trials] == ["finished"] * 2, study.trials
        assert said.count("RoundFinished") == 4 and said[-2:] == ["StudyFinished", "closed"], said
        assert [m["round"] for m in trial.metrics()] == [1, 2] and "clients" not in trial.metrics()[0]
        assert {(row["round"], row["id"]) for row in trial.clients()} == {(r, c) for r in (1, 2) for c in range(4)}
        model = trial.predictor()
        assert model.evaluate() == trial.summary["splits"]
        assert study.failed == () and trial.grid == {"method": "zero_fill"} and trial.seed == 0
        print(json.dumps(study.rows()))
    """)  # fmt: skip
    rows = json.loads(python(code, tmp_path).splitlines()[-1])
    lines = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert len(rows) == len(lines) - 1
    assert list(rows[0]) == lines[0].split(",")
    again = raysim.open(tmp_path / "out")
    assert again.rows() == rows
    with pytest.raises(raysim.FolderError, match="is not empty"):
        raysim.run(scenario(), out=tmp_path / "out")
    trial = again.trials[1]
    with (trial.folder / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "lo')  # being written
    assert [m["round"] for m in trial.metrics()] == [1, 2]
    (trial.folder / "summary.json").unlink()
    assert (again.trials[1].state, again.trials[1].seed) == ("unfinished", None)
    assert again.trials[1].summary == {}


def test_what_a_grid_sets_to_a_number_is_one_in_rows(tmp_path):
    key = "federation.optimizer.lr"
    trials = [summary("zero", 1, 0.5, **{key: "0.10"}), summary("zero", 2, 0.5, **{key: "7"})]  # which is a label
    found = {row["seed"]: (row[key], row["method"]) for row in raysim.open(write_study(tmp_path, trials)).rows()}
    assert found == {1: (0.1, "zero"), 2: ("7", "zero")}


def test_a_study_that_another_process_works_on_says_what_its_monitor_shows(tmp_path):
    study = raysim.open(small_study(tmp_path / "out", planned=1))
    assert (study.running, [t.state for t in study.trials]) == (False, ["finished"] * 3 + ["unfinished"])
    with hold(study.folder / ".lock") as lock:
        lock.write(f"process 7 on {socket.gethostname()}\n")
        lock.flush()
        trial = study.trials[3]
        trial.folder.mkdir()
        (trial.folder / "metrics.jsonl").write_text('{"round": 1}\n{"round": 2}\n{"rou')
        assert (study.running, trial.rounds, study.trials[0].rounds) == (True, 2, 2)
        assert at_work(study.folder).name == f"process 7 on {socket.gethostname()}"
    assert not study.running


@pytest.mark.slow
@pytest.mark.ray
def test_a_ray_that_is_there_is_used_and_left(tmp_path):
    code = (
        "import ray; ray.init(num_cpus=2, include_dashboard=False, logging_level='ERROR', log_to_driver=False)\n"
        f"scenario = {scenario(grid={'method': ['zero_fill']})!r}\n" + NOTEBOOK + "assert trial.state == 'finished'\n"
        "assert ray.is_initialized() and ray.get(ray.remote(lambda: 7).remote()) == 7\n"
        "from threading import Thread\n"
        "other = Thread(target=lambda: raysim.run(scenario, out='out2', progress='none'))\n"
        "other.start(); other.join()\n"
        "assert raysim.open('out2').rows()\n"
    )
    python(code, tmp_path, RAY_AUTH_MODE="disabled")


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_that_failed_says_so(tmp_path):
    wrong = scenario(federation={"rounds": 2, "optimizer": {"name": "sgd", "lr": 1e30}})
    code = f"import raysim\nstudy = raysim.run({wrong!r}, out='out', progress='none')\n"
    code += "print([t.error for t in study.failed])"
    said = python(code, tmp_path)
    assert "round 1, client 2, stage 'task': the loss is nan; lower the learning rate" in said
    assert [t.state for t in raysim.open(tmp_path / "out").trials] == ["failed"] * 2


@pytest.mark.parametrize(
    ("given", "overrides", "says"),
    [
        (scenario(grid={"method": ["zero_fil"]}), {}, r"^scenario:\d+: method.name: .*did you mean 'zero_fill'"),
        ("name: note\ndataset: polydigit\n", {}, r"^scenario:\d+: "),
        ("nothing.yaml", {}, r"^nothing.yaml: there is no such file; check the path"),
        ("quickstat", {}, "did you mean 'quickstart'"),
        ("quickstart", {"federation.round": 3}, "--set federation.round=3: federation.round.*did you mean 'rounds'"),
        ("quickstart", ["federation.rounds"], "must be key=value"),
        ("quickstart", {"federation.rounds": "many"}, "--set federation.rounds=many: federation.rounds"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_one_line(given, overrides, says):
    with pytest.raises(raysim.ScenarioError, match=says) as error:
        raysim.validate(given, overrides)
    assert "\n" not in str(error.value)


def test_what_numpy_and_paths_say_is_plain(tmp_path):
    grid = {"federation.optimizer.lr": np.linspace(0.1, 0.3, 3), "method": ["zero_fill"]}
    given = scenario(seeds=[np.int64(4)], grid=grid, dataset={"name": "arrays", "path": tmp_path / "a.npz"})
    np.savez(tmp_path / "a.npz", **{"x.a": np.zeros((90, 2)), "y": np.arange(90) % 2, "split": np.arange(90) % 3})
    trials = raysim.validate(given, {"federation.rounds": np.int32(2)})
    assert [t.scenario.federation.optimizer.lr for t in trials] == [0.1, 0.2, 0.3]
    assert {(t.seed, t.scenario.federation.rounds) for t in trials} == {(4, 2)}


@pytest.mark.parametrize(
    ("given", "overrides", "says"),
    [
        (scenario(method=Path), {}, "scenario: method: Path is a class; write where it is found, 'file:Path'"),
        (
            scenario(),
            {"evaluation.metric": len},
            "scenario: evaluation.metric: <built-in function len> is no plain value",
        ),
    ],
)
def test_what_no_file_could_say_is_one_line(given, overrides, says):
    with pytest.raises(raysim.ScenarioError) as caught:
        raysim.validate(given, overrides)
    assert str(caught.value) == says


def test_validate_gives_the_trials():
    trials = raysim.validate("quickstart", {"seeds": [1, 2], "federation.rounds": 7})
    assert len(trials) == 8
    assert {t.scenario.federation.rounds for t in trials} == {7}
    text = "name: note\ndataset: polydigits\npartition: {name: iid, clients: 4}\nmethod: zero_fill\n"
    text += "federation: {rounds: 1}\n"
    said = {"name": "note", "dataset": "polydigits", "partition": {"name": "iid", "clients": 4}, "method": "zero_fill"}
    assert raysim.validate(text)[0].scenario == raysim.validate(said | {"federation": {"rounds": 1}})[0].scenario


def test_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(raysim.ScenarioError, match="'note' is also the name of scenario; give one another name"):
        raysim.run(scenario(), scenario(), out=tmp_path / "out")
    with pytest.raises(TypeError, match="run needs a scenario"):
        raysim.run()
    assert not (tmp_path / "out").exists()


def test_what_a_trial_predicted(tmp_path):
    small_study(tmp_path)
    keep(tmp_path, "method=zero,seed=2", [0, 2], test=[0, 1])
    first, second, _ = raysim.open(tmp_path).trials
    assert first.predictions() is None
    found = second.predictions()
    assert found["test"].argmax(axis=1).tolist() == [0, 1]
    assert found["labels"].tolist() == [0, 2]
