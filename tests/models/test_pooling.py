import math
from dataclasses import dataclass, field

import pytest
import torch

from raysim.data.dataset import Modality
from raysim.models.encoders import build_encoder
from raysim.models.pooling import Pooling
from raysim.scenario.model import Model


@dataclass
class Inputs:
    x: dict
    present: dict
    lengths: dict = field(default_factory=dict)


def pooled(modality, x, present=(True, True), lengths=None):
    given = {} if lengths is None else {"m": torch.tensor(lengths)}
    return Pooling("m", modality).vector(Inputs({"m": torch.tensor(x)}, {"m": torch.tensor(present)}, given)).tolist()


VECTOR, SEQUENCE, IMAGE = Modality("vector", (2,)), Modality("sequence", (3, 2)), Modality("image", (1, 2, 2))
STEPS = [[[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]], [[7.0, 8.0], [math.nan, math.inf], [0.0, 0.0]]]


def test_a_vector_is_itself_and_an_image_its_pixels():
    assert pooled(VECTOR, [[1.0, 2.0], [3.0, 4.0]]) == [[1.0, 2.0], [3.0, 4.0]]
    assert pooled(IMAGE, [[[[1.0, 2.0], [3.0, 4.0]]]], (True,)) == [[1.0, 2.0, 3.0, 4.0]]


def test_a_sequence_is_the_mean_of_its_valid_steps():
    assert pooled(SEQUENCE, STEPS, lengths=[2, 1]) == [[2.0, 4.0], [7.0, 8.0]]
    assert pooled(SEQUENCE, STEPS[:1], (True,)) == [[3.0, 3.0]]


def test_absent_rows_are_zeros_whatever_they_hold():
    assert pooled(VECTOR, [[1.0, 2.0], [math.nan, 1e30]], (True, False)) == [[1.0, 2.0], [0.0, 0.0]]
    assert pooled(SEQUENCE, STEPS, (True, False), [2, 3]) == [[2.0, 4.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("modality", "width", "shape"), [(VECTOR, 2, (3, 2)), (SEQUENCE, 2, (3, 4, 2)), (IMAGE, 4, (3, 1, 2, 2))]
)
def test_a_vector_becomes_an_input(modality, width, shape):
    pooling = Pooling("m", modality, steps=4)
    assert pooling.width == width
    vector = torch.arange(3.0 * width).reshape(3, width)
    x, lengths = pooling.input(vector)
    assert x.shape == shape
    assert (None if lengths is None else lengths.tolist()) == ([4, 4, 4] if modality.ordered else None)
    torch.testing.assert_close(pooling.vector(Inputs({"m": x}, {"m": torch.ones(3, dtype=torch.bool)})), vector)


def test_a_client_axis_changes_nothing():
    pooling = Pooling("m", SEQUENCE, steps=2)
    x, present = torch.randn(2, 5, 3, 2), torch.rand(2, 5) > 0.5
    lengths = torch.randint(1, 4, (2, 5))
    together = pooling.vector(Inputs({"m": x}, {"m": present}, {"m": lengths}))
    for k in range(2):
        alone = pooling.vector(Inputs({"m": x[k]}, {"m": present[k]}, {"m": lengths[k]}))
        assert torch.equal(together[k], alone)
        assert torch.equal(pooling.input(together)[0][k], pooling.input(alone)[0])
    assert pooling.input(together)[1].shape == (2, 5)


@pytest.mark.parametrize(("encoder", "channels", "steps"), [("gru", None, 1), ("conv_gru", (4, 4), 4)])
def test_a_sequence_has_the_steps_of_one_token(encoder, channels, steps):
    modality = Modality("sequence", (9, 2))
    model = Model.model_validate({"dim": 3, "encoders": {"m": {"name": encoder, "channels": channels}}})
    net = build_encoder("m", modality, model).eval()
    pooling = Pooling.of("m", modality, net)
    assert pooling.steps == steps
    feature = net(*pooling.input(torch.ones(5, 2)))
    assert (feature.tokens.shape, feature.valid.all().item()) == ((5, 1, 3), True)
