"""A regression from arrays to predictions, in this process; what is about classes is refused in one line."""

import csv

import numpy as np
import pytest

import raysim
from raysim import registry
from raysim.cli.app import main
from raysim.report.events import RoundFinished, StudyStarted, TrialFinished
from raysim.report.files import FileSink
from raysim.report.tables.tables import scenario_table
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.seeding import stream
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import forget, prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

SCENARIO = """
name: real
dataset: {name: arrays, path: data.npz, task: regression}
partition: {name: iid, clients: 3}
missing: {name: per_sample, rate: 0.2}
method: zero_fill
model: {dim: 8, dropout: 0.0, head: {hidden: 8, dropout: 0.0}}
federation: {rounds: 6, local_epochs: 2, batch_size: 8, optimizer: {name: adam, lr: 0.01}}
evaluation:
  metrics: [mae, r2, pearson, acc7]
  metric: mae
numerics: {device: cpu, stack: 1}
"""


def data(**changes):
    """Two modalities that see the same three numbers; the target is the sum of two of them."""
    rng = stream(0, "regression")
    hidden = rng.standard_normal((200, 3))
    inputs = {f"x.{m}": hidden @ rng.standard_normal((3, 6)) for m in ("left", "right")}
    split = np.repeat(["train", "validation", "test"], [120, 30, 50])
    arrays = {**inputs, "y": hidden[:, 0] + hidden[:, 1], "split": split} | changes
    return {key: array for key, array in arrays.items() if array is not None}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """`home(replaced, by, **arrays)`: the scenario's path, beside its data."""
    monkeypatch.chdir(tmp_path)

    def write(replaced="", by="", **arrays):
        np.savez(tmp_path / "data.npz", **data(**arrays))
        assert replaced in SCENARIO
        forget()
        (tmp_path / "real.yaml").write_text(SCENARIO.replace(replaced, by))
        return tmp_path / "real.yaml"

    return write


def ready(path):
    (trial,) = load(path)
    check(trial)
    check_kinds(trial)
    return prepare(trial)


def run(path, out):
    """The trial's folder, its records and its summary."""
    prepared = ready(path)
    job, sink = Job(prepared.trial, prepared.data), FileSink(out)
    sink.handle(StudyStarted((prepared.info,), str(out), "this machine"))
    events = [e for e in Simulation(job, LocalExecutor(job), prepared.info).run() if e is not None]
    for event in events:
        sink.handle(event)
    records = [e.record for e in events if isinstance(e, RoundFinished)]
    (summary,) = (e.summary for e in events if isinstance(e, TrialFinished))
    return out / "real" / prepared.info.name, records, summary, sink


def test_it_is_learnt_and_the_best_round_is_that_of_the_least_error(home, tmp_path):
    folder, records, summary, sink = run(home(), tmp_path / "out")
    errors = [r["validation"]["mae"] for r in records]
    assert errors[-1] < 0.5 * errors[0]
    assert summary["round"] == 1 + errors.index(min(errors))
    assert summary["splits"]["test"]["r2"] > 0.6
    assert summary["splits"]["test"]["pearson"] > 0.8
    assert raysim.load(folder).evaluate() == summary["splits"]
    assert scenario_table(sink._results, "real").header[-4:] == ("mae", "r2", "pearson", "acc7")
    assert sink._results.trials[0].low == ("loss", "mae")


def test_predictions_are_numbers_in_a_column_a_target(home, tmp_path, capfd):
    two = np.stack([data()["y"], -2 * data()["y"]], axis=1)
    path = home(y=two, targets=np.array(["valence", "arousal"]))
    folder, _, summary, _ = run(path, tmp_path / "out")
    assert main(["predict", str(folder), "test", "--out", "own.csv"]) == 0
    said = capfd.readouterr().out
    assert f"50 samples; mae {summary['splits']['test']['mae']:.4f}, r2 " in said
    with (tmp_path / "own.csv").open() as file:
        lines = [*csv.reader(file)]
    assert lines[0] == ["row", "predicted.valence", "predicted.arousal"]
    assert len(lines) == 51
    new = {key: array[150:] for key, array in data(y=two, split=None).items()}
    np.savez(tmp_path / "new.npz", **new)
    assert main(["predict", str(folder), "new.npz", "--out", "new.npz.npz"]) == 0
    with np.load(tmp_path / "new.npz.npz") as found:
        assert sorted(found) == ["labels", "predicted"]
        np.testing.assert_allclose(found["predicted"], np.array(lines[1:], dtype=float)[:, 1:], rtol=1e-6)
        np.testing.assert_allclose(found["labels"], two[150:].astype(np.float32))
    for wrong in (two[150:, :1], np.full(50, "x"), np.full((50, 2), np.inf)):
        np.savez(tmp_path / "wrong.npz", **new | {"y": wrong})
        assert main(["predict", str(folder), "wrong.npz", "--out", "no.csv"]) == 2
        assert "'y' is" in capfd.readouterr().err


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_losses_by_hand(home, tmp_path, loss):
    path = home("dropout: 0.0}", f"dropout: 0.0, loss: {loss}}}")
    folder, records, summary, _ = run(path, tmp_path / "out")
    logits, labels = raysim.load(folder).own("test")
    error = np.abs(logits.astype(np.float64) - labels)
    wanted = {
        "mse": error**2, "l1": error, "huber": np.where(error <= 1, error**2 / 2, error - 1 / 2),
    }[loss].mean()  # fmt: skip
    assert summary["splits"]["test"]["loss"] == pytest.approx(wanted, rel=1e-6)
    assert records[-1]["loss"]["task"] < records[0]["loss"]["task"]


SERVER = {
    "fedadam": ", server_lr: 0.02", "fedyogi": ", server_lr: 0.02", "fedadagrad": ", server_lr: 0.1",
    "fedopt": ", momentum: 0.0",
}  # fmt: skip
"""Options with which six rounds are enough, and not too much."""


@pytest.mark.parametrize("algorithm", [e.name for e in registry.listed("algorithm") if e.name != "fedrs"])
def test_every_algorithm_learns_it(home, tmp_path, algorithm):
    path = home("rounds: 6,", f"rounds: 6, algorithm: {{name: {algorithm}{SERVER.get(algorithm, '')}}},")
    _, records, _, _ = run(path, tmp_path / "out")
    assert records[-1]["validation"]["loss"] < 0.9 * records[0]["validation"]["loss"]


def test_stacks_agree_within_rounding(home, tmp_path):
    path = home("adam, lr: 0.01", "sgd, lr: 0.05")
    one = run(path, tmp_path / "one")[1]
    path.write_text(path.read_text().replace("stack: 1", "stack: 3"))
    three = run(path, tmp_path / "three")[1]
    assert three[-1]["validation"] == pytest.approx(one[-1]["validation"], rel=1e-4)


@pytest.mark.parametrize(
    ("replaced", "by", "line"),
    [
        ("metrics: [mae, r2, pearson, acc7]\n  metric: mae", "missing: none",
         "evaluation: of a regression needs metrics of numbers; write for example evaluation: {metrics: [mae, r2, "),
        ("[mae, r2, pearson, acc7]\n  metric: mae", "[accuracy]",
         "evaluation.metrics.0: 'accuracy' is for single_label and multi_label data, and this is regression; there "
         "are: acc2, acc2_f1, acc7, mae, pearson, r2, rmse"),
        ("iid, clients: 3", "dirichlet, clients: 3, alpha: 1.0",
         "partition.name: write iid, quantity, natural or groups: 'dirichlet' deals by class, and the data is a "),
        ("iid, clients: 3", "shards, clients: 3", "partition.name: write iid, quantity, natural or groups: 'shards'"),
        ("method: zero_fill", "method: zero_fill\nlabels: {noise: 0.1}", "labels.noise: write 0: wrong labels are"),
        ("rate: 0.2", "rate: 0.2, by_class: {a: 0.1}", "missing.by_class: remove it: rates are by class, and"),
        ("rounds: 6,", "rounds: 6, algorithm: fedrs,",
         "federation.algorithm: fedrs is for multi_label and single_label data, and this is regression; use another"),
        ("method: zero_fill", "method: mmfedmc",
         "method: mmfedmc is for multi_label and single_label data, and this is regression; use another method"),
        ("task: regression", "task: segmentation",
         "dataset.task: must be 'classification' or 'regression', is 'segmentation'"),
        ("task: regression", "task: retrieval", "dataset.task: must be 'classification' or 'regression', is 'retriev"),
        (", task: regression", "", "'y' is float64 of shape (200,); write integers (N,), or 0 and 1 (N, C); for real "
         "numbers set dataset.task: regression"),
    ],
)  # fmt: skip
def test_what_is_about_classes_is_refused_in_one_line(home, replaced, by, line):
    with pytest.raises(ScenarioError) as caught:
        ready(home(replaced, by))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_of_a_regression_is_refused_where_there_are_classes(home):
    path = home("task: regression}", "one_hot: null}\nevaluation: {}", y=np.arange(200) % 3)
    text = path.read_text().replace("evaluation: {}", "").replace("[mae, r2, pearson, acc7]\n  metric: mae", "[uar]")
    path.write_text(text.replace("[uar]", "[uar]\n  metric: uar").replace("hidden: 8,", "hidden: 8, loss: l1,"))
    with pytest.raises(ScenarioError, match=r"model.head.loss: 'l1' is of a regression, and the data has classes; rem"):
        ready(path)


def test_a_metric_of_ones_own(home, tmp_path):
    name = f"worst_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "def worst(scores, labels, classes):\n"
        "    assert scores.shape == labels.shape == (len(labels), len(classes))\n"
        "    return dict(zip(classes, abs(scores - labels).max(axis=0)))\n"
        "worst.higher_is_better = False\n"
    )
    path = home("[mae, r2, pearson, acc7]\n  metric: mae", f"[mae, '{name}:worst']\n  metric: worst")
    _, records, summary, _ = run(path, tmp_path / "out")
    errors = [r["validation"]["worst"] for r in records]
    assert summary["round"] == 1 + errors.index(min(errors))
    assert list(records[0]["test"]) == ["mae", "worst", "worst.y", "loss"]
    assert records[0]["test"]["worst"] == records[0]["test"]["worst.y"]


def test_names_of_what_is_not_there(home):
    with pytest.raises(ScenarioError, match=r"'classes' is there, and dataset\.task is regression; leave"):
        ready(home(classes=np.array(["a"])))
