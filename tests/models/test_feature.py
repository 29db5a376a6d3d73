import pytest
import torch

from raysim.models.feature import Feature, checked

NAN = float("nan")
ONE = Feature.of(torch.ones(2, 3))


def bits(*values):
    return torch.tensor(values, dtype=torch.bool)


def test_pooled_is_the_mean_of_valid_tokens_and_zero_without():
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [NAN, NAN]], [[NAN, NAN]] * 3])
    feature = Feature(tokens, torch.stack([bits(1, 1, 0), bits(0, 0, 0)]))
    assert feature.pooled().tolist() == [[2, 3], [0, 0]]
    assert feature.present().tolist() == [True, False]


def test_of_makes_one_token():
    feature = Feature.of(torch.tensor([[1.0], [2.0]]), bits(1, 0), weight=0.5)
    assert feature.tokens.shape == (2, 1, 1)
    assert feature.valid.tolist() == [[True], [False]]
    assert feature.pooled().tolist() == [[1], [0]]
    assert Feature.of(torch.ones(2, 1)).valid.all()


def test_where_takes_a_vector_for_absent_rows():
    tokens = torch.tensor([[[1.0], [3.0]], [[NAN], [NAN]]], requires_grad=True)
    fill = torch.tensor([[NAN], [7.0]], requires_grad=True)
    feature = Feature(tokens, torch.ones(2, 2, dtype=torch.bool), weight=0.5).where(bits(1, 0), fill)
    assert feature.valid.tolist() == [[True, True], [True, False]]
    assert feature.weight == 0.5
    assert feature.pooled().tolist() == [[2], [7]]
    feature.pooled().sum().backward()
    assert tokens.grad is not None
    assert fill.grad is not None
    assert tokens.grad.tolist() == [[[0.5], [0.5]], [[0], [0]]]
    assert fill.grad.tolist() == [[0], [1]]


def test_where_takes_a_longer_feature():
    one = Feature.of(torch.tensor([[1.0], [2.0]]))
    two = Feature(torch.tensor([[[3.0], [5.0]]] * 2), torch.ones(2, 2, dtype=torch.bool))
    feature = one.where(bits(1, 0), two)
    assert feature.valid.tolist() == [[True, False], [True, True]]
    assert feature.pooled().tolist() == [[1], [4]]


def test_where_nothing_is_absent():
    feature = Feature.of(torch.tensor([[1.0], [NAN]])).where(bits(1, 0))
    assert feature.pooled().tolist() == [[1], [0]]


def test_weight_must_be_above_zero():
    with pytest.raises(ValueError, match="above 0, got 0"):
        Feature.of(torch.ones(1, 1), weight=0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "^fill must return modality -> Feature, but returned None$"),
        ([1], "^fill must return modality -> Feature, but returned a list$"),
        ({"a": ONE}, "^fill returned nothing for 'b'; return one Feature or several for each of a, b$"),
        ({"a": ONE, "b": ONE, "c": ONE}, "^fill returned something for 'c'; return one Feature"),
        ({"a": ONE, "b": ONE.tokens}, "^fill returned a Tensor for 'b'; return a Feature: "),
        ({"a": ONE, "b": [ONE, None]}, "^fill returned None for 'b'; return a Feature: "),
        ({"a": ONE, "b": []}, "^fill returned no stream for 'b'; return a Feature: "),
    ],
)
def test_what_fill_returns_is_refused_where_it_is_something_else(given, says):
    with pytest.raises((TypeError, ValueError), match=says):
        checked(given, {"a": ONE, "b": ONE})


def test_one_stream_or_several_pass():
    streams = {"b": [ONE, ONE], "a": ONE}
    assert checked(streams, {"a": ONE, "b": ONE}) is streams
