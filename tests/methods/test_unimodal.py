import numpy as np
import pytest
from pydantic import ValidationError

from raysim.training.trainer import Trainer

RIGHT = {"name": "unimodal", "modality": "right"}


def test_masks_by_hand(tiny_data, make_job):
    job = make_job(tiny_data("vectors"), RIGHT)
    mask = np.array([[True, True], [True, False], [False, True]])
    hidden = job.method.observe(mask, np.ones_like(mask), job.task)
    assert hidden.tolist() == [[False, True], [False, False], [False, True]]


def test_clients_without_the_modality_do_not_take_part(tiny_data, make_job, new_run):
    roles = [{"modalities": ["left"], "clients": 3}, {"modalities": ["left", "right"], "clients": 1}]
    run = new_run(make_job(tiny_data("vectors"), RIGHT, missing={"name": "roles", "roles": roles})).go()
    (client,) = np.flatnonzero(run.job.data.sizes)
    assert [record["cohort"] for record in run.records] == [[client], [client]]
    assert run.job.data.info(int(client)).modalities == {"right"}


def test_a_sample_without_it_is_classified_from_nothing(tiny_data, make_job, new_run):
    job = make_job(tiny_data("vectors"), RIGHT, evaluation={"missing": 0.5})
    test = job.data.views["test"].mask
    assert not test[:, 0].any()
    without = ~test[:, 1]
    assert 0 < without.sum() < 10
    logits = Trainer(job).predict(new_run(job).simulation._broadcast(0), "test", 0, 10)
    assert len(np.unique(logits[without], axis=0)) == 1
    assert len(np.unique(logits[~without], axis=0)) == 10 - without.sum()


def test_a_modality_that_the_data_does_not_have_is_refused(tiny_data, make_job):
    with pytest.raises(ValueError, match=r"^method\.modality is 'middle', the data has: left, right$"):
        make_job(tiny_data("vectors"), RIGHT | {"modality": "middle"})


def test_it_wants_to_know_which(tiny_data, make_job):
    with pytest.raises(ValidationError, match="modality"):
        make_job(tiny_data("vectors"), "unimodal")
