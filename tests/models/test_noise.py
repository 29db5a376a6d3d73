import pytest
import torch

from raysim.models import noise
from raysim.models.layers import Dropout
from raysim.models.noise import noise_source


def test_sources_nest_and_end():
    with noise_source(lambda shape, kind: torch.zeros(shape)):
        with noise_source(lambda shape, kind: torch.ones(shape)):
            assert noise.draw((2,), "normal").tolist() == [1, 1]
        assert noise.draw((2,), "normal").tolist() == [0, 0]
    with pytest.raises(RuntimeError, match=r"no noise source for a draw of \(2,\)"):
        noise.draw((2,), "normal")


def test_dropout_drops_below_p_and_scales_the_rest():
    drawn = torch.tensor([[0.1, 0.25, 0.9]])
    asked = []

    def source(shape, kind):
        asked.append((shape, kind))
        return drawn

    with noise_source(source):
        assert Dropout(0.25)(torch.full((1, 3), 3.0)).tolist() == [[0, 4, 4]]
    assert asked == [((1, 3), "uniform")]


def test_dropout_without_a_source():
    x = torch.ones(2)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x
    with pytest.raises(RuntimeError, match="noise source"):
        Dropout(0.5)(x)
