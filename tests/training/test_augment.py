import math

import pytest
import torch

from raysim.scenario.model import Model
from raysim.training.augment import augmented, rotated
from raysim.training.trainer import Trainer


def test_a_quarter_turn_by_hand():
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    turned = rotated(x, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(turned, x.rot90(1, (-2, -1)))
    torch.testing.assert_close(rotated(x, torch.tensor([0.0])), x)


def test_a_picture_that_is_not_square_is_turned_without_being_stretched():
    x = torch.zeros(1, 1, 9, 17)
    x[..., 4, 6:11] = 1.0  # a bar of five pixels that lies in the middle
    stands = torch.zeros(1, 1, 9, 17)
    stands[..., 2:7, 8] = 1.0
    torch.testing.assert_close(rotated(x, torch.tensor([math.pi / 2])), stands, atol=1e-5, rtol=0)


def test_each_picture_has_its_own_angle_and_corners_become_black():
    x = torch.ones(2, 3, 1, 8, 8)
    turned = rotated(x, torch.tensor([[0.0, 0.1, -0.2], [0.0, 0.5, 0.7]]))
    assert turned.shape == x.shape
    assert (turned[0, 0] == 1).all()
    assert turned[1, 2, 0, 0, 0] == 0
    assert turned[1, 2, 0, 4, 4] == pytest.approx(1)


@pytest.fixture
def seen(toy, monkeypatch):
    """`seen(augment, ...)`: the image batches of a round of one client."""

    def look(augment, *, stack=1, clients=(4, 4), size=1, evaluate=False):
        job = toy.job(
            toy.data(clients, ("image", "vector")), stack=stack, batch_size=4,
            model={"dim": 4, "encoders": {"image": {"name": "cnn", "channels": [2]}}, "augment": augment},
        )  # fmt: skip
        batches, predict = [], type(job.method).predict

        def spy(self, nets, batch):
            batches.append(batch.x["image"].clone())
            return predict(self, nets, batch)

        with monkeypatch.context() as patch:
            patch.setattr(type(job.method), "predict", spy)
            if evaluate:
                Trainer(job).predict(toy.broadcast(job), "test", 0, 6)
            else:
                toy.train(job, size=size)
        return batches

    return look


def test_every_picture_is_flipped_where_the_probability_is_one(seen):
    plain, flipped = seen({}), seen({"image": {"flip": 1.0}})
    assert all((p.flip(-1) == f).all() for p, f in zip(plain, flipped, strict=True))


def test_about_as_many_are_flipped_as_said_and_they_differ_between_clients(seen):
    plain, flipped = (seen(a, clients=(40, 40)) for a in ({}, {"image": {"flip": 0.5}}))
    changed = torch.stack([(p != f).flatten(1).any(1) for p, f in zip(plain, flipped, strict=True)]).view(
        2, 40
    )  # ten batches of a client, then ten of the other
    assert 25 < changed.sum() < 55
    assert (changed[0] != changed[1]).any()


def test_a_stack_sees_what_its_clients_see_alone(seen):
    wish = {"image": {"flip": 0.5, "rotate_deg": 15.0}}
    alone, (stacked,) = seen(wish), seen(wish, stack=2, size=2)
    torch.testing.assert_close(stacked, torch.stack(alone))


def test_evaluation_sees_the_pictures_as_they_are(seen):
    wish = {"image": {"flip": 1.0, "rotate_deg": 90.0}}
    assert (seen(wish, evaluate=True)[0] == seen({}, evaluate=True)[0]).all()


def test_a_model_says_what_is_augmented():
    assert augmented(None, Model(), {}) is None
