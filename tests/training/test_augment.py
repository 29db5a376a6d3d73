import math
import sys
from types import ModuleType

import pytest
import torch

from raysim.data.dataset import Modality
from raysim.scenario.model import Model
from raysim.training.augment import augmented, own_augments, rotated, try_augment
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


def jitter(x, noise, sigma: float = 0.1):
    return x + sigma * noise("jitter", x.shape)


def shouted(x):
    return x.double()


def short(x):
    return x[..., 1:]


def never(x, lengths):
    return x * lengths


@pytest.fixture
def own(monkeypatch):
    """Functions that are found by `own_augments:NAME`."""
    module = ModuleType("own_augments")
    for function in (jitter, shouted, short, never):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "own_augments", module)


def test_ones_own_comes_after_flips_and_is_the_same_in_a_stack(seen, own):
    wish = {"image": {"name": "own_augments:jitter", "sigma": 0.5, "flip": 1.0}}
    alone, (stacked,) = seen(wish), seen(wish, stack=2, size=2)
    torch.testing.assert_close(stacked, torch.stack(alone), rtol=0, atol=0)
    flipped = torch.stack([p.flip(-1) for p in seen({})])
    assert float((stacked - flipped).std()) == pytest.approx(0.5, rel=0.2)
    assert (seen(wish, evaluate=True)[0] == seen({}, evaluate=True)[0]).all()


def test_what_is_absent_stays_zeros_whatever_is_done_to_it(toy, own):
    data = toy.data((4, 4), ("image", "vector"), absent=((1, "image"),))
    batches = []

    class Spy(toy.Pull):
        def loss(self, nets, batch):
            batches.append(batch.x["image"])
            return batch.mean((nets["w"].weight[..., None] - batch.x["vector"]).square().mean(-1))

    model = {"dim": 4, "encoders": {}, "augment": {"image": "own_augments:jitter"}}
    toy.train(toy.job(data, Spy, stack=2, batch_size=4, model=model), size=2)
    (x,) = batches
    assert x[0].ne(0).all()
    assert not x[1].any()


def test_two_modalities_draw_numbers_of_their_own(toy, own):
    data, batches = toy.data((4,), ("vector", "image")), []

    class Spy(toy.Pull):
        def loss(self, nets, batch):
            batches.append(dict(batch.x))
            return batch.mean((nets["w"].weight[..., None] - batch.x["vector"]).square().mean(-1))

    def run(augment):
        toy.train(toy.job(data, Spy, batch_size=4, model={"dim": 4, "encoders": {}, "augment": augment}))
        return batches.pop()

    plain, both = run({}), run(dict.fromkeys(("vector", "image"), "own_augments:jitter"))
    image, vector = ((both[m] - plain[m]).flatten(1) for m in ("image", "vector"))
    assert not torch.isclose(image[:, :3], vector, atol=1e-4).any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shouted", "'own_augments:shouted' gives torch.float64 of the shape (3, 4), and torch.float32 of the shape "
                    "(3, 4) is wanted"),
        ("short", "'own_augments:short' gives torch.float32 of the shape (3, 3), and torch.float32 of the shape (3, 4) "
                  "is wanted"),
        ("never", f"'own_augments:never' fails: {__file__}:{never.__code__.co_firstlineno + 1}: TypeError: unsupported "
                  "operand type(s) for *: 'Tensor' and 'NoneType'"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_is_one_line(own, name, message):
    (function,) = own_augments(Model.model_validate({"augment": {"v": f"own_augments:{name}"}})).values()
    with pytest.raises(ValueError, match="own_augments") as caught:
        try_augment("v", function, Modality("vector", (4,)))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "modality",
    [Modality("image", (1, 4, 5)), Modality("sequence", (6, 2)), Modality("vector", (3,))],
    ids=lambda m: m.kind,
)
def test_a_function_that_fits_is_tried_without_a_word(own, modality):
    (function,) = own_augments(Model.model_validate({"augment": {"m": "own_augments:jitter"}})).values()
    try_augment("m", function, modality)


def test_evaluation_sees_the_pictures_as_they_are(seen):
    wish = {"image": {"flip": 1.0, "rotate_deg": 90.0}}
    assert (seen(wish, evaluate=True)[0] == seen({}, evaluate=True)[0]).all()


def test_a_model_says_what_is_augmented():
    assert augmented(None, Model(), {}) is None
