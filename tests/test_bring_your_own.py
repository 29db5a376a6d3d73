"""An algorithm and metrics of one's own: files in a user's folder, outside the repository."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

import raysim
from raysim import registry
from raysim.cli.app import main
from raysim.evaluation import measured
from raysim.report.events import RoundFinished, StudyStarted, TrialFinished, Warned
from raysim.report.files import FileSink
from raysim.report.reading.folders import read
from raysim.report.reading.results import Results
from raysim.report.render.markdown import report
from raysim.report.tables.by_class import class_table
from raysim.report.tables.tables import scenario_table
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.schema import Metric
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

ALGORITHM = '''
"""Every client's change is cut to the median of all norms, so that none moves the mean alone."""
from raysim.algorithms.base import Algorithm

class Clipped(Algorithm):
    class Options(Algorithm.Options):
        factor: float = 1.0

    weights = "uniform"
    updates = True

    def server(self, received, state):
        norms = received.updates.norm(dim=1, keepdim=True)
        most = self.options.factor * norms.median()
        return received.x + (received.updates * (most / norms).clamp(max=1)).double().mean(dim=0), state
'''
METRICS = '''
import numpy as np

def kappa(scores, labels, weights: str = "none"):
    """Cohen's kappa."""
    classes = np.arange(scores.shape[1])
    table = (labels[:, None, None] == classes[:, None]) & (scores.argmax(axis=1)[:, None, None] == classes)
    found = table.mean(axis=0)
    chance = np.outer(found.sum(axis=1), found.sum(axis=0))
    unlike = np.abs(np.subtract.outer(classes, classes))
    cost = unlike**2 if weights == "quadratic" else unlike > 0
    return None if not (cost * chance).sum() else 1 - (cost * found).sum() / (cost * chance).sum()

def brier(scores, labels):
    return ((scores - np.eye(scores.shape[1])[labels]) ** 2).sum(axis=1).mean()

brier.higher_is_better = False
'''
SCENARIO = """
name: mine
dataset: {name: polydigits, modalities: 2, copies: 1}
partition: {name: iid, clients: 3}
missing: {name: per_sample, rate: 0.3}
method: zero_fill
federation:
  rounds: 2
  algorithm: {name: "RULES.py:Clipped", factor: 0.5}
evaluation:
  missing: same
  metrics: [accuracy, "METRICS:kappa", {name: "METRICS:brier"}]
  metric: brier
numerics: {device: cpu, stack: 1}
placement: {actors: 1}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """`home(...)`: writes a user's files under names that no other test has, changes the scenario, returns its path."""
    monkeypatch.chdir(tmp_path)
    names = {"RULES": f"rules_{tmp_path.name}", "METRICS": f"metrics_{tmp_path.name}"}

    def write(code=METRICS, replaced="", by=""):
        (tmp_path / f"{names['RULES']}.py").write_text(ALGORITHM)
        (tmp_path / f"{names['METRICS']}.py").write_text(code)
        assert replaced in SCENARIO
        text = SCENARIO.replace(replaced, by)
        for word, name in names.items():
            text = text.replace(word, name)
        (tmp_path / "mine.yaml").write_text(text)
        return tmp_path / "mine.yaml"

    yield write
    for name in names.values():
        sys.modules.pop(name, None)


def ready(path):
    (trial,) = load(path)
    check(trial)
    return prepare(trial)


def run(path, out):
    """The trial in this process, as `raysim run` leaves it; its folder and what was told."""
    prepared = ready(path)
    job, sink = Job(prepared.trial, prepared.data), FileSink(out)
    sink.handle(StudyStarted((prepared.info,), str(out), "this machine"))
    events = list(Simulation(job, LocalExecutor(job), prepared.info).run())
    for event in events:
        if event is not None:
            sink.handle(event)
    return out / "mine" / prepared.info.name, events


def test_the_best_round_is_by_a_metric_of_which_less_is_better(home, tmp_path):
    folder, events = run(home(), tmp_path / "out")
    values = [e.record["validation"]["brier"] for e in events if isinstance(e, RoundFinished)]
    (summary,) = (e.summary for e in events if isinstance(e, TrialFinished))
    assert summary["round"] == 1 + values.index(min(values))
    assert summary["selected_by"] == "best validation brier"
    assert list(summary["splits"]["test"]) == ["accuracy", "kappa", "brier", "loss"]
    assert raysim.load(folder).evaluate() == summary["splits"]


def test_tables_know_what_is_better(home, tmp_path):
    run(home(), tmp_path / "out")
    with (tmp_path / "out" / "study.json").open("w") as file:
        settings = load(tmp_path / "mine.yaml")[0].scenario.model_dump(mode="json")
        json.dump({"format": "raysim study 1", "trials": {f"mine/{p.name}": settings
                   for p in (tmp_path / "out" / "mine").iterdir()}}, file)  # fmt: skip
    (trial,) = read([tmp_path / "out"]).results.trials
    assert (trial.metric, trial.metrics) == ("brier", ("accuracy", "kappa", "brier"))
    assert trial.low == ("loss", "brier")
    table = scenario_table(read([tmp_path / "out"]).results, "mine", ("test",))
    assert table.header[-3:] == ("accuracy", "kappa", "brier")


def test_options_and_a_direction_that_the_scenario_says(home):
    path = home(replaced='{name: "METRICS:brier"}]\n  metric: brier',
                by='{name: "METRICS:brier", higher_is_better: true}]\n  metric: accuracy')  # fmt: skip
    assert ready(path).info.low == ("loss",)
    name = f"metrics_{path.parent.name}:kappa"
    scores, labels = np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 2, 0])
    plain, weighted = (
        measured.compute([Metric.model_validate({"name": name, **o})], scores, labels)["kappa"]
        for o in ({}, {"weights": "quadratic"})
    )
    assert plain == pytest.approx(1 - (1 / 4) / (1 - (2 + 1 + 2) / 16))
    assert weighted == pytest.approx(1 - (4 / 4) / ((2 * 2 * 4 + 2 * 1 + 1 * 1 + 1 * 2 + 1 * 4 + 1 * 1) / 16))


RAISES = "def kappa(scores, labels):\n    return scores[:, 7].mean()\n"
TEXT = "def kappa(scores, labels):\n    return 'good'\n"
SPOILS = METRICS + "\ndef greedy(scores, labels):\n    labels[:] = 0\n    scores[:] = 1\n    return 0.5\n"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (RAISES, "evaluation.metrics.1: 'METRICS:kappa' fails: FOLDER/METRICS.py:2: IndexError: index 7"),
        (TEXT, "evaluation.metrics.1: 'METRICS:kappa' must return a number, a mapping of numbers or None, but "
         "returned a str"),
        ("kappa = 3\n", "evaluation.metrics.1.name: 'kappa' in 'METRICS' is no function; write a function, or"),
        ("def kapa(scores, labels):\n    return 0\n",
         "evaluation.metrics.1.name: 'METRICS' has no metric function 'kappa'; did you mean 'kapa'?"),
        ("def kappa(scores, truth):\n    return 0\n", "evaluation.metrics.1.truth: is required; write a value"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_is_said_before_anything_starts(home, code, line):
    path = home(code.replace("scores[:, 7]", "scores[:, 77]"), '{name: "METRICS:brier"}]\n  metric: brier', "]")
    with pytest.raises(ScenarioError) as caught:
        ready(path)
    said, name = str(caught.value), f"metrics_{path.parent.name}"
    assert "\n" not in said
    wanted = line.replace("METRICS", name).replace("FOLDER", str(path.parent)).replace("index 7", "index 77")
    assert said.startswith((f"{path}:", "mine.yaml:"))
    assert wanted in said
    if code in (RAISES, TEXT):
        assert said.endswith("(scores were of the shape (24, 10), labels of (24,))")


@pytest.mark.parametrize(
    ("replaced", "by", "line"),
    [
        ("metric: brier", "metric: bier", "evaluation.metric: 'bier' is not among evaluation.metrics (accuracy, kappa, "
                                          "brier); did you mean 'brier'?"),
        ('{name: "METRICS:brier"}', '{name: "METRICS:brier", power: 2}', "evaluation.metrics.2.power: unknown key"),
        ('"METRICS:kappa"', '{name: "METRICS:kappa", weights: 3}', "evaluation.metrics.1.weights: must be text, is 3"),
        ('"METRICS:kappa"', '"METRICS:brier"', "evaluation.metrics: names a metric twice; keep one, or give"),
        ('"METRICS:kappa"', "{name: uar, weights: x}", "evaluation.metrics.1.weights: unknown key; remove it"),
        ('"METRICS:kappa"', "{name: ece, bins: 0}", "evaluation.metrics.1.bins: must be a whole number of at least 1"),
        ('"METRICS:kappa"', "{name: uar, label: loss}", "evaluation.metrics.1: 'loss' is the name of another figure"),
        ('"METRICS:kappa"', "recal", "evaluation.metrics.1.name: there is no metric 'recal'; did you mean 'recall'?"),
        ('"METRICS:kappa"', "mae", "evaluation.metrics.1: 'mae' is for regression data, and this is single_label; "
                                   "there are: accuracy, auprc, balanced_error, brier, ece, f1, macro_auc"),
        ("factor: 0.5", "faktor: 0.5", "federation.algorithm.faktor: unknown key; did you mean 'factor'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_scenario(home, replaced, by, line):
    path = home(replaced=replaced, by=by)
    with pytest.raises(ScenarioError) as caught:
        ready(path)
    assert line in str(caught.value)


def test_what_a_metric_does_to_its_arguments_harms_nobody(home):
    path = home(SPOILS, "METRICS:kappa", "METRICS:greedy")
    scores, labels = np.eye(3), np.arange(3)
    ready(path)
    greedy = Metric(name=f"metrics_{path.parent.name}:greedy")
    assert measured.compute([greedy, "accuracy"], scores, labels) == {"greedy": 0.5, "accuracy": 1.0}


@pytest.mark.parametrize(("value", "found"), [
    (None, None), (float("nan"), None), (np.float32(0.5), 0.5), (np.array(2), 2.0), (True, 1.0),
])  # fmt: skip
def test_what_a_metric_may_return(home, value, found):
    path = home()
    ready(path)
    name = f"metrics_{path.parent.name}"
    sys.modules[name].brier = lambda scores, labels: value
    measured.function.cache_clear()
    assert measured.compute([Metric(name=f"{name}:brier")], np.eye(2), np.arange(2)) == {"brier": found}


BY_CLASS = """
def kappa(scores, labels, classes):
    hits = {name: (scores[labels == c].argmax(1) == c).mean() for c, name in enumerate(classes)}
    return hits | {"nobody": None}
"""


def test_numbers_by_class_have_a_table_of_their_own(home, tmp_path):
    path = home(BY_CLASS, '{name: "METRICS:brier"}]\n  metric: brier', "recall]\n  metric: kappa")
    prepared = ready(path)
    folder, events = run(path, tmp_path / "out")
    (summary,) = (e.summary for e in events if isinstance(e, TrialFinished))
    test, digits = summary["splits"]["test"], "0123456789"
    assert list(test) == ["accuracy", "kappa", *(f"kappa.{d}" for d in digits), "kappa.nobody", "recall",
                          *(f"recall.{d}" for d in digits), "loss"]  # fmt: skip
    assert [test[f"kappa.{d}"] for d in digits] == [test[f"recall.{d}"] for d in digits]
    assert test["kappa"] == pytest.approx(test["recall"])
    assert test["kappa.nobody"] is None
    assert raysim.load(folder).evaluate() == summary["splits"]
    results = Results(trials=(prepared.info,), summaries=[(prepared.info, summary)])
    assert scenario_table(results, "mine", ("test",)).header[-3:] == ("accuracy", "kappa", "recall")
    table = class_table(results, "mine")
    assert (table.title, table.header) == ("mine: by class, test", ("class", "kappa", "recall"))
    assert [line[0] for line in table.lines] == [*digits, "nobody"]
    assert table.lines[-1] == ("nobody", "n/a", "-")
    assert "By class, test; one seed:" in report(results, ())


NEVER = "def kappa(scores, labels):\n    return float('nan')\n"


@pytest.mark.parametrize("select", ["best", "last"])
def test_a_metric_that_is_never_defined_is_warned_of_once(home, tmp_path, select):
    by = f"]\n  metric: kappa\n  select: {select}"
    events = run(home(NEVER, ', {name: "METRICS:brier"}]\n  metric: brier', by), tmp_path / "out")[1]
    said = [e.text for e in events if isinstance(e, Warned)]
    assert said == (select == "best") * [
        "validation kappa was defined in no round, so that of round 1 is reported, the first; choose another "
        "evaluation.metric"
    ]


def test_what_a_metric_of_ones_own_says_it_suits(home):
    code = METRICS.replace("brier.higher", 'brier.suits = ("multi_label",)\nbrier.higher')
    with pytest.raises(
        ScenarioError, match=r"brier' is for multi_label data, and this is single_label; there are: acc"
    ):
        ready(home(code))


def test_an_entry_point(home, monkeypatch, capfd):
    home()
    point = EntryPoint("kappa", f"metrics_{home().parent.name}:kappa", "raysim.metrics")
    found = EntryPoints([point])
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: found.select(**wanted))
    registry._points.cache_clear()
    try:
        path = home(replaced='"METRICS:kappa"', by="kappa")
        assert ready(path).info.metrics == ("accuracy", "kappa", "brier")
        assert main(["list", "metrics"]) == 0
        assert "kappa" in [line.split()[0] for line in capfd.readouterr().out.splitlines()]
        assert main(["info", "metric", "kappa"]) == 0
        said = capfd.readouterr().out
        assert said.startswith("Cohen's kappa.")
        assert "weights" in said
        assert "higher_is_better" in said
    finally:
        registry._points.cache_clear()


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_of_them_and_a_prediction(home, tmp_path):
    path = home()
    code = f"""
import json, raysim
study = raysim.run({str(path)!r}, out="out", progress="none")
(trial,) = study.trials
assert trial.predictor().evaluate() == trial.summary["splits"]
print(json.dumps([trial.summary["splits"], sorted(trial.summary["origin"]["code"]), str(trial.folder)]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    splits, code, folder = json.loads(done.stdout.splitlines()[-1])
    (expected,) = (e.summary for e in run(path, tmp_path / "here")[1] if isinstance(e, TrialFinished))
    assert splits == expected["splits"]
    assert code == sorted(f"{name}_{tmp_path.name}.py" for name in ("rules", "metrics"))
    assert {p.name for p in (tmp_path / folder / "code").iterdir()} == set(code)
