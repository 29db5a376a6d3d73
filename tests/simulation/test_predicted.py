"""What a trial keeps of its predictions."""

import numpy as np
import pytest

from raysim.evaluation.scores import Slice, figures
from raysim.report.events import PredictionsKept, RoundFinished, StudyStarted, TrialFinished, Warned
from raysim.report.files import FileSink
from raysim.report.reading.predictions import Unreadable, arrays, of_view
from raysim.simulation.predicted import Predicted, halved


def test_classes_keep_their_order_and_what_is_too_large_is_cut():
    logits = np.array([[20.001, 20.0, -1.0], [1e9, -1e9, 0.0], [np.inf, 0.0, 1.0]], np.float32)
    found = halved(logits, shifted=True)
    assert found.dtype == np.float16
    assert found.argmax(axis=1).tolist() == [0, 0, 0]  # plain float16 has 20.0 for the first two
    assert found[0].tolist() == pytest.approx([0.0, -0.001, -21.0], abs=2e-3)
    assert found[1].tolist() == [0.0, -65504.0, -65504.0]
    assert found[2].tolist() == [0.0, -65504.0, -65504.0]
    assert halved(np.array([[1.5, 1e6], [-1e6, 0.25]]), shifted=False).tolist() == [[1.5, 65504.0], [-65504.0, 0.25]]
    assert np.isnan(halved(np.array([[np.nan, 1.0]]), shifted=True)).all()


def told(toy, job, kind=PredictionsKept):
    return [e for e in toy.simulation(job).run() if isinstance(e, kind)]


@pytest.mark.parametrize("select", ["best", "last"])
def test_they_are_those_of_the_reported_round(toy, tmp_path, select):
    data = toy.data((9, 7, 8))
    job = toy.job(data, rounds=4, evaluation={"select": select, "metric": "macro_auc"})
    simulation, sink = toy.simulation(job), FileSink(tmp_path)
    sink.handle(StudyStarted((simulation.info,), str(tmp_path), "this machine"))
    for event in simulation.run():
        if event is not None:
            sink.handle(event)
        if isinstance(event, TrialFinished):
            summary = event.summary
    found = arrays(tmp_path / "toy" / "trial")
    assert found["round"] == summary["round"]
    assert sorted(found) == ["labels", "outcome", "outputs", "round", "rows", "test"]
    assert found["rows"].tolist() == list(range(6))
    test = of_view(found, "test")
    assert (test.logits.dtype, test.logits.shape, test.scored.all()) == (np.float16, (6, 3), True)
    again = figures(job.scenario, test.logits, test.labels, job.data.dataset)
    assert again == pytest.approx(summary["splits"]["test"], abs=1e-3)
    assert again["accuracy"] == summary["splits"]["test"]["accuracy"]
    assert of_view(found, "test_unmasked") is None


def test_only_the_best_is_held_and_snapshots_have_it(toy):
    job = toy.job(toy.data(), rounds=3)
    held, first = Predicted(job), np.full((6, 3), 1.0, np.float32)
    held.offer([Slice("validation", 0, 6), Slice("test", 0, 4), Slice("test", 4, 6)],
               [first + 9, first[:4], first[4:]], best=True)  # fmt: skip
    kept = held.beside(1)
    assert kept["test"].tolist() == [[0.0] * 3] * 6
    held.offer([Slice("test", 0, 6)], [np.eye(6, 3, dtype=np.float32)], best=False)
    assert held.beside(2) is kept
    later = Predicted(toy.job(toy.data(), rounds=3, evaluation={"select": "last"}))
    later.offer([Slice("test", 0, 6)], [first], best=True)
    assert later.beside(1) == {}  # the last round is still to come
    assert later.beside(3)["test"].shape == (6, 3)


def test_a_checkpoint_without_them_is_told(toy):
    job = toy.job(toy.data(), rounds=2)
    held = Predicted(job)
    held.restore({})
    (warning,) = held.told(toy.simulation(job).info, {"round": 1})
    assert warning.text == "round 1 is reported, whose predictions no checkpoint had: none are kept"


@pytest.mark.parametrize(("wish", "warned"), [
    ({"predictions": False}, []),
    ({"predictions_mb": 1e-6}, ["predictions of 3.6e-05 MB are not kept; see evaluation.predictions_mb"]),
])  # fmt: skip
def test_none_are_kept_where_they_are_not_wanted_or_too_large(toy, wish, warned):
    job = toy.job(toy.data(), evaluation=wish)
    assert told(toy, job) == []
    assert [e.text for e in told(toy, job, Warned)] == warned
    simulation = toy.simulation(toy.job(toy.data(), evaluation=wish, checkpoint={"every_rounds": 1}))
    assert [e.round for e in simulation.run() if isinstance(e, RoundFinished)] == [1]
    assert simulation.snapshot.predictions == {}


def test_a_method_that_predicts_nothing_has_none(toy):
    data = toy.data((9, 7), kinds=("image", "vector"))
    job = toy.job(data, {"name": "generate", "generator": {"name": "mvae", "latent": 2, "hidden": 4, "channels": [2]}})
    assert told(toy, job) == []


def test_a_damaged_file_is_one_line(tmp_path):
    assert arrays(tmp_path) is None
    (tmp_path / "predictions.npz").write_bytes(b"torn")
    with pytest.raises(Unreadable, match=r"predictions\.npz: cannot be read: "):
        arrays(tmp_path)
