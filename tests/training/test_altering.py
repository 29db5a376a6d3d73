"""Noise and hidden parts: what a batch has instead of the data's own inputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.data.federated import View
from raysim.seeding import stream
from raysim.training.altering import Altering, Hole
from raysim.training.loading import load
from raysim.training.trainer import Trainer

CPU = torch.device("cpu")
KINDS = ("image", "vector", "sequence", "tokens")


def loaded(data, altering, *, lazy=True, parts=None):
    parts = [data.part(0), data.part(1)] if parts is None else parts
    return load(data.dataset, data.dataset.train, parts, data.mask, CPU, lazy=lazy, altering=altering)


def test_noise_has_the_clients_deviation_and_leaves_the_rest_alone(toy):
    data = toy.data((400, 300), KINDS, absent=((1, "vector"),))
    deviation = np.repeat([0.5, 2.0], [400, 300])
    clean, noisy = loaded(data, Altering(3)), loaded(data, Altering(3, deviation))
    x, y = clean.at(...), noisy.at(...)
    for client, (count, expected) in enumerate(((400, 0.5), (300, 2.0))):
        difference = (y["image"] - x["image"])[client, :count]
        assert float(difference.std()) == pytest.approx(expected, rel=0.05)
        assert float(difference.mean()) == pytest.approx(0, abs=4 * expected / (count * 16) ** 0.5)
        valid = torch.arange(6) < clean.lengths["sequence"][client, :count, None]
        steps = (y["sequence"] - x["sequence"])[client, :count]
        assert float(steps[valid].std()) == pytest.approx(expected, rel=0.05)
        assert not steps[~valid].any()
    assert not y["vector"][1].any()  # absent, as before
    assert (y["tokens"] == x["tokens"]).all()
    assert not y["image"][1, 300:].any()


def test_the_draws_stay_what_they_are(toy):
    data = toy.data((5, 3), ("vector",))
    added = loaded(data, Altering(3, np.full(8, 2.0))).at(...)["vector"] - loaded(data, Altering()).at(...)["vector"]
    assert (added[1, 0] / 2).tolist() == pytest.approx([-1.0517994, -1.8957561, -1.3689458], abs=1e-5)


def test_a_samples_noise_is_the_same_however_it_is_taken(toy):
    data = toy.data((5, 3), KINDS)
    altering = Altering(3, np.full(8, 0.3, np.float32))
    whole = loaded(data, altering)
    alone = loaded(data, altering, lazy=False, parts=[data.part(1)[::-1]]).narrow((0,), axis=False)
    some = whole.at((torch.tensor([[1], [0]]), torch.tensor([[2, 0], [4, 4]])))
    for m in ("image", "vector", "sequence"):
        assert (whole.at(...)[m][1, [2, 0]] == some[m][0]).all()
        assert (alone.at(...)[m][0] == some[m][0, 0]).all()
    assert (loaded(data, Altering(4, altering.noise)).at(...)["vector"] != whole.at(...)["vector"]).any()


def test_a_part_is_zeros_and_all_else_is_the_data_s(toy):
    data = toy.data((5, 3), KINDS, absent=((1, "image"),))
    count = np.zeros((8, 1), np.int64)
    spans = {
        "image": np.hstack([count + 1, count + 3, count, count + 2]),
        "vector": np.hstack([count + 1, count + 2]),
        "sequence": np.hstack([count, count + 2]),
        "tokens": np.hstack([count + 3, count + 3]),
    }
    spans["vector"][2] = 0
    x, y = loaded(data, Altering()).at(...), loaded(data, Altering(holes=spans)).at(...)
    image = x["image"].clone()
    image[..., 1:3, 0:2] = 0
    vector = x["vector"].clone()
    vector[0, [0, 1, 3, 4], 1] = 0
    vector[1, :, 1] = 0
    sequence = x["sequence"].clone()
    sequence[..., 0:2, :] = 0
    for m, expected in (("image", image), ("vector", vector), ("sequence", sequence), ("tokens", x["tokens"])):
        assert (y[m] == expected).all()
    assert (x["image"] != y["image"]).any()


def test_a_part_by_hand():
    hole = Hole((-2, -1), torch.tensor([[0, 1, 1, 3], [0, 0, 0, 0]]))
    x = torch.ones(2, 1, 2, 3)
    assert hole.made(x, ..., None).tolist() == [[[[1, 0, 0], [1, 1, 1]]], [[[1, 1, 1], [1, 1, 1]]]]
    assert hole.narrow(1).made(x[1], ..., None).tolist() == x[1].tolist()


@pytest.fixture
def seen(toy, monkeypatch):
    """The inputs of a round's batches and of a view's rows."""

    def look(data, run):
        job, batches = toy.job(data, stack=2, batch_size=4), []
        predict = type(job.method).predict

        def spy(self, nets, batch):
            batches.append(batch.x["vector"].clone())
            return predict(self, nets, batch)

        with monkeypatch.context() as patch:
            patch.setattr(type(job.method), "predict", spy)
            run(job)
        return batches

    return look


def test_clients_train_on_it_and_evaluation_is_clean_but_for_a_view_with_parts(toy, seen):
    data = toy.data((4, 4), ("image", "vector"))
    spans = {"vector": np.tile([0, 2], (8, 1))}
    views = {"test": View("test", data.views["test"].mask, holes=True), "clean": data.views["test"]}
    changed = replace(data, noise=np.ones(8, np.float32), holes={"train": spans, "test": spans}, views=views)
    (plain,), (altered,) = (seen(d, lambda job: toy.train(job, size=2)) for d in (data, changed))
    assert (torch.stack(seen(changed, toy.train)) == altered).all()
    noise = [stream(0, "feature_noise", "vector", row).standard_normal(3, np.float32)[2] for row in range(8)]
    assert sorted((altered - plain)[..., 2].flatten().tolist()) == pytest.approx(sorted(noise), abs=1e-5)
    assert not altered[..., :2].any()
    (clean,) = seen(changed, lambda job: Trainer(job).predict(toy.broadcast(job), "clean", 0, 6))
    (holed,) = seen(changed, lambda job: Trainer(job).predict(toy.broadcast(job), "test", 0, 6))
    assert (clean == torch.from_numpy(data.dataset.test.inputs["vector"])).all()
    assert not holed[:, :2].any()
    assert (holed[:, 2] == clean[:, 2]).all()
