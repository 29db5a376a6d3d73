import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from generation import figures, flat, generated, pictures

from raysim.report.events import (
    ClientsScored,
    PicturesMade,
    RoundFinished,
    StudyFinished,
    StudyPlanned,
    StudyStarted,
    TrialFinished,
)
from raysim.report.files import FileSink, cut, finished, packed


@pytest.fixture
def out(tmp_path, study):
    sink = FileSink(tmp_path)
    for event in study.events:
        sink.handle(event)
    sink.close()
    return tmp_path


def test_a_line_for_every_round(out):
    lines = (out / "study" / "method=zero,seed=1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2]
    assert json.loads(lines[1])["test"] == {"accuracy": 0.5, "uar": 0.4, "loss": 1.0}


def test_what_is_not_finite_is_null(tmp_path, study):
    record = {"round": 1, "loss": {"task": float("nan")}, "validation": {"accuracy": None, "uar": float("inf")}}
    FileSink(tmp_path).handle(RoundFinished(study.trials[0], 1, record))
    text = (tmp_path / "study" / "method=zero,seed=1" / "metrics.jsonl").read_text()
    assert text == '{"round": 1, "loss": {"task": null}, "validation": {"accuracy": null, "uar": null}}\n'


def test_a_summary_says_how_a_trial_ended(out):
    finished = json.loads((out / "study" / "method=zero,seed=2" / "summary.json").read_text())
    assert (finished["status"], finished["round"], finished["seed"]) == ("finished", 2, 2)
    assert finished["splits"]["test"]["accuracy"] == 0.75
    failed = json.loads((out / "study" / "method=fin,seed=2" / "summary.json").read_text())
    assert (failed["status"], failed["details"]) == ("failed", "  method.py line 3\nOops")


def test_the_table_of_all_figures(out):
    lines = (out / "summary.csv").read_text().splitlines()
    assert lines[:5] == [
        "scenario,trial,seed,method,split,metric,value",
        'study,"method=zero,seed=1",1,zero,validation,accuracy,0.5',
        'study,"method=zero,seed=1",1,zero,validation,uar,0.4',
        'study,"method=zero,seed=1",1,zero,validation,loss,1.0',
        'study,"method=zero,seed=1",1,zero,test,accuracy,0.5',
    ]
    assert len(lines) == 1 + 3 * 9


def test_the_report(out):
    text = (out / "report.md").read_text()
    assert "3 of 4 trials finished, 1 failed. 2 cores, no GPU, 1 node" in text
    assert "2 rounds; seeds 1, 2; figures of the best round by validation accuracy; 3 clients on 2 actors" in text
    assert "| fin | 1 | **0.875** | **1.075** | **0.775** | **0.975** |" in text
    assert "| zero | 1,234 | 60 | 1.0 MB | 2.0 MB | 2.0 MB | 4.0 MB | 4.0 s |" in text
    assert "![Learning curves of study](study/learning_curves.png)" in text
    assert "- study method=fin seed=2: round 1, client 2, stage 'task': the loss is nan" in text


def test_the_picture_is_a_png_of_a_sane_size(out):
    data = (out / "study" / "learning_curves.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (700, 450)
    assert len(data) > 5_000


def test_the_plan_is_kept_the_newest_one(tmp_path):
    sink = FileSink(tmp_path / "out")
    for seconds in (1.0, math.inf):
        sink.handle(StudyPlanned(("a line",), {"seconds": seconds, "arms": ({"grid": {"method": "zero"}},)}))
    said = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert said == {"seconds": None, "arms": [{"grid": {"method": "zero"}}]}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.json"]


def test_an_interrupted_study_keeps_what_is_there_without_a_picture(tmp_path, study):
    sink = FileSink(tmp_path)
    for event in [*study.begun, StudyFinished(1, 0, 5.0, interrupted=True)]:
        sink.handle(event)
    assert "| zero |" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "study" / "learning_curves.png").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_trial_that_goes_on_has_every_round_once(tmp_path, resumed):
    sink = FileSink(tmp_path)
    for event in resumed.events:
        sink.handle(event)
    lines = (tmp_path / "study" / resumed.trial.name / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3]
    assert not (tmp_path / "study" / "method=zero,seed=0").exists()  # what was finished earlier is left alone


def test_a_torn_line_goes_with_the_rounds_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"round": 1}\n{"round": 2}\n{"rou')
    cut(path, 2)
    assert path.read_text() == '{"round": 1}\n{"round": 2}\n'
    cut(path, 0)
    assert path.read_text() == ""


def test_only_a_finished_trial_is_finished(tmp_path, out, study):
    assert finished(out, study.trials[0])["splits"]["test"]["accuracy"] == 0.5
    assert finished(out, study.trials[3]) is None
    assert finished(tmp_path / "elsewhere", study.trials[0]) is None


def test_a_file_that_cannot_be_written_is_named(tmp_path, study):
    path = tmp_path / "study" / "method=zero,seed=1" / "metrics.jsonl"
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory") as caught:
        FileSink(tmp_path).handle(RoundFinished(study.trials[0], 1, {}))
    assert caught.value.filename == str(path)


def test_arrays_may_have_any_names():
    arrays = {"file": np.arange(2), "allow_pickle": np.eye(2), "a/b.filled": np.zeros(0), "猫": np.ones(1)}
    with np.load(io.BytesIO(packed(arrays))) as found:
        assert {name: found[name].tolist() for name in found} == {n: a.tolist() for n, a in arrays.items()}


def making(trials, pictures_of):
    """A study in which generation is measured twice and pictures are made."""
    yield StudyStarted(tuple(trials), "out", "x")
    for trial in trials:
        for number in (1, 2):
            record = {"round": number, "loss": {}, "validation": {"accuracy": 0.5}}
            yield RoundFinished(trial, number, {**record, "generation": figures(number / 4)})
        yield PicturesMade(trial, 2, pictures_of)
        yield TrialFinished(trial, {"round": 2, "splits": {"test": {"accuracy": 0.5}}, **generated(0.5)})


def test_pictures_are_kept_as_they_come_and_drawn_at_the_end(tmp_path, study):
    sink, trial = FileSink(tmp_path), study.trials[0]
    folder = tmp_path / "study" / trial.name
    for event in making([trial], pictures(2)):
        sink.handle(event)
    with np.load(folder / "generation.npz") as found:
        assert found["a/b"].shape == (2, 4, 4, 1)
        assert found["round"] == 2
    assert not (folder / "generation").exists()
    sink.handle(StudyFinished(1, 0, 5.0))
    assert {p.name for p in (folder / "generation").iterdir()} == {
        "a_to_a.png", "a_to_b.png", "b_to_a.png", "b_to_b.png", "overview.png",
    }  # fmt: skip
    assert {p.name for p in folder.parent.glob("*.png")} == {"learning_curves.png", "generation_by_round.png"}
    text = (tmp_path / "report.md").read_text()
    assert "![Generation by round, study](study/generation_by_round.png)\n" in text
    assert "(study/method%3Dzero%2Cseed%3D1/generation/overview.png)\n" in text
    assert "coherence_by_given" not in text


def test_pictures_that_are_there_are_not_drawn_again(tmp_path, study):
    trials = study.trials[:2]
    sink = FileSink(tmp_path)
    for event in [*making(trials, pictures(1)), StudyFinished(2, 0, 5.0)]:
        sink.handle(event)
    kept = tmp_path / "study" / trials[0].name / "generation" / "overview.png"
    kept.write_bytes(b"kept")
    sink.handle(StudyFinished(2, 0, 5.0))
    assert kept.read_bytes() == b"kept"


@pytest.mark.parametrize("arrays", [{}, pictures(0), {"real/a": flat(1, 2)}])
def test_no_pictures_are_no_file(tmp_path, study, arrays):
    sink = FileSink(tmp_path)
    for event in [*making(study.trials[:1], arrays), StudyFinished(1, 0, 5.0)]:
        sink.handle(event)
    assert not list(tmp_path.rglob("generation*.npz"))
    assert not list(tmp_path.rglob("overview.png"))


def test_a_line_for_each_client_that_is_judged(tmp_path, study):
    numbers = {"test": np.array([2, 0]), "validation": np.array([1, 3])}
    metrics = {"accuracy": np.array([0.5, np.nan]), "loss": np.array([0.1 + 0.2, np.inf])}
    scored = ClientsScored(
        study.trials[0], 2, np.array([3, 7]), np.array(["north, old", "7"]), ("a", "a+b"), numbers,
        dict.fromkeys(numbers, metrics),
    )  # fmt: skip
    FileSink(tmp_path).handle(scored)
    path = tmp_path / "study" / "method=zero,seed=1" / "clients.csv"
    assert path.read_text() == (
        "split,client,id,role,rows,accuracy,loss\n"
        'test,3,"north, old",a,2,0.5,0.30000000000000004\n'
        "test,7,7,a+b,0,,\n"
        'validation,3,"north, old",a,1,0.5,0.30000000000000004\n'
        "validation,7,7,a+b,3,,\n"
    )
    FileSink(tmp_path).handle(replace(scored, ids=None))
    assert path.read_text().splitlines()[1] == "test,3,,a,2,0.5,0.30000000000000004"


def test_a_line_for_each_subset(tmp_path, study):
    subsets = {"a": {"rows": 3, "metrics": {"accuracy": 0.5, "auc": None}}, "a+b": {"rows": 0, "metrics": {}}}
    sink = FileSink(tmp_path)
    sink.handle(StudyStarted(study.trials, "out", "machine"))
    sink.handle(TrialFinished(study.trials[0], {"splits": {}, "subsets": subsets}))
    path = tmp_path / "study" / "method=zero,seed=1" / "subsets.csv"
    assert path.read_text() == "given,rows,accuracy,auc\na,3,0.5,\na+b,0,,\n"
