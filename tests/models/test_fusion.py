import pytest
import torch

from raysim.models.feature import Feature
from raysim.models.fusion import Attention, Concat, _logits
from raysim.models.layers import linear

NAN = float("nan")


def of(*values, weight=1.0, present=None):
    return Feature.of(torch.tensor(values).reshape(len(values), 1), present, weight)


def test_concat_keeps_its_order():
    fusion = Concat(["a", "b"], 1)
    assert fusion.width == 2
    assert fusion({"b": of(1.0), "a": of(2.0)}).tolist() == [[2, 1]]


def test_concat_weighs_streams_that_are_there():
    here = torch.tensor([True, False, False])
    streams = {
        "a": [of(1.0, 2.0, NAN, present=torch.tensor([True, True, False])), of(4.0, NAN, NAN, present=here, weight=0.5)]
    }
    assert Concat(["a"], 1)(streams).tolist() == [[2], [2], [0]]


def test_attention_of_masked_tokens_is_exactly_zero():
    torch.manual_seed(0)
    fusion = Attention(["a", "b"], 4, 8, 3)
    tokens = torch.randn(2, 5, 4)
    tokens[0, 2:] = NAN
    valid = torch.tensor([[True, True, False, False, False], [True] * 5])
    absent = Feature(torch.full((2, 1, 4), NAN), torch.zeros(2, 1, dtype=torch.bool))
    streams = {"a": Feature(tokens, valid), "b": absent}
    _, weights = fusion.attend(streams)
    assert weights.shape == (2, 6, 3)
    assert (weights[0, 2:] == 0).all()
    assert (weights[:, 5] == 0).all()
    torch.testing.assert_close(weights.sum(-2), torch.ones(2, 3))
    assert fusion(streams).shape == (2, 12)
    fusion(streams).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


def test_attention_of_two_halves_is_attention_of_one():
    fusion = Attention(["a", "b"], 4, 8, 3)
    a, b = torch.randn(2, 4), torch.randn(2, 4)
    once = fusion({"a": Feature.of(a), "b": Feature.of(b)})
    twice = fusion({"a": Feature.of(a), "b": [Feature.of(b, weight=0.5), Feature.of(b, weight=0.5)]})
    torch.testing.assert_close(once, twice)


def steps(count, weight=None, batch=1):
    return Feature(torch.ones(batch, count, 4), torch.ones(batch, count, dtype=torch.bool), weight)


def attended(streams):
    """By modality: its share where all tokens are alike."""
    fusion = Attention(list(streams), 4, 8, 1)
    weights = fusion.attend(streams)[1][0, :, 0]
    counts = [sum(f.valid.shape[-1] for f in several) for several in streams.values()]
    return [part.sum().item() for part in weights.split(counts)]


@pytest.mark.parametrize(
    ("real", "synthetic", "shares"),
    [
        ([steps(1)], [steps(7, 0.5), steps(7, 0.5)], [0.5, 0.5]),  # two halves are one stream, of any length
        ([steps(1)], [steps(7, 1.0)], [0.5, 0.5]),
        ([steps(7)], [steps(7, 0.5), steps(3, 0.5)], [0.5, 0.5]),
        ([steps(7)], [steps(1, 0.25)], [0.8, 0.2]),
        ([steps(7)], [steps(1)], [0.875, 0.125]),  # of plain streams each token counts alike
    ],
)
def test_the_weight_of_a_stream_is_the_streams_however_many_tokens_it_has(real, synthetic, shares):
    assert attended({"a": real, "b": synthetic}) == pytest.approx(shares)


def test_streams_with_a_weight_share_among_themselves_where_nothing_is_real():
    absent = Feature(torch.full((1, 2, 4), NAN), torch.zeros(1, 2, dtype=torch.bool))
    assert attended({"a": [absent], "b": [steps(7, 0.5)], "c": [steps(1, 0.25)]}) == pytest.approx([0, 2 / 3, 1 / 3])


def test_nothing_there_is_zero():
    absent = Feature(torch.full((2, 3, 4), NAN), torch.zeros(2, 3, dtype=torch.bool))
    for fusion in (Attention(["a"], 4, 8, 3), Concat(["a"], 4)):
        assert (fusion({"a": absent}) == 0).all()


@pytest.mark.parametrize("fusion", [Attention(["a", "b"], 4, 8, 3), Concat(["a", "b"], 4)])
def test_a_stack_is_its_clients(fusion, same_as_alone):
    def call(net, a, b, present):
        valid = torch.arange(5).expand(a.shape[:-1]) < 4
        return net({"a": Feature(a, valid).where(present), "b": [Feature.of(b), Feature.of(b, present, 0.5)]})

    present = torch.tensor([[True, False], [True, True], [False, False]])
    same_as_alone(fusion, torch.randn(3, 2, 5, 4), torch.randn(3, 2, 4), present, call=call)


@pytest.mark.parametrize("clients", [None, 3])
def test_the_cached_logits_have_the_values_and_gradients_of_the_plain_ones(clients):
    torch.manual_seed(0)
    lead = () if clients is None else (clients,)
    shapes = [(*lead, 2, 5, 4), (*lead, 8, 4), (*lead, 8), (*lead, 3, 8), (*lead, 3)]
    x, w, b, v, c = (torch.randn(s, requires_grad=True) for s in shapes)
    plain = linear(torch.tanh(linear(x, w, b)), v, c)
    cached = _logits(x, w, b, v, c)
    torch.testing.assert_close(cached, plain)
    weights = torch.randn_like(plain)
    for one, other in zip(
        *(torch.autograd.grad((y * weights).sum(), [x, w, b, v, c]) for y in (cached, plain)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_stack_may_share_one_attention():
    fusion = Attention(["a"], 4, 8, 3)
    tokens = torch.randn(3, 2, 5, 4)
    feature = Feature(tokens, torch.ones(3, 2, 5, dtype=torch.bool))
    each = [fusion({"a": Feature(t, torch.ones(2, 5, dtype=torch.bool))}) for t in tokens]
    torch.testing.assert_close(fusion({"a": feature}), torch.stack(each))
