import numpy as np

from raysim.engine.server import lack
from raysim.report.events import TrialFinished


def test_only_what_the_data_lacks_is_missing(tiny_data, make_job):
    data = tiny_data("vectors")
    rates = {"missing": {"name": "per_client", "rate": 0.9}, "evaluation": {"missing": 0.9}}
    complete, zero = (make_job(data, m, **rates).data for m in ("complete", "zero_fill"))
    natural = data.train.presence(data.names)
    assert not natural.all()
    np.testing.assert_array_equal(complete.mask, natural)
    assert zero.mask.sum() < natural.sum()
    for split in ("validation", "test"):
        np.testing.assert_array_equal(complete.views[split].mask, data.split(split).presence(data.names))
        np.testing.assert_array_equal(complete.views[f"{split}_unmasked"].mask, complete.views[split].mask)


def test_masks_by_hand(tiny_data, make_job):
    job = make_job(tiny_data("vectors"), "complete")
    mask, present = np.array([[True, False], [False, True]]), np.array([[True, True], [False, True]])
    assert job.method.observe(mask, present, job.task).tolist() == [[True, True], [False, True]]


def test_it_is_told_that_it_is_a_bound_and_undoes_what_is_missing(toy, tiny_data, make_job):
    for method, bound in (("complete", True), ("zero_fill", None)):
        job = toy.job(toy.data(), method)
        summary = next(e.summary for e in toy.simulation(job).run() if isinstance(e, TrialFinished))
        assert summary.get("bound") is bound
    rates = {"missing": {"name": "per_client", "rate": 0.9}, "evaluation": {"missing": 0.9}}
    jobs = [make_job(tiny_data("vectors"), method, **rates) for method in ("complete", "zero_fill")]
    undone, hidden = (lack(job.trial, job.data) for job in jobs)
    assert undone == f"{hidden}; complete undoes that, so other rates train the same"
    assert lack(toy.job(toy.data(), "complete").trial, toy.data()) == ""
