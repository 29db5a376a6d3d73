import numpy as np


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
