import pytest
import torch

from raysim.data.dataset import Modality
from raysim.models.encoders import build_encoder
from raysim.models.layers import stackable
from raysim.scenario.model import Model

IMAGE = Modality("image", (3, 9, 8))
SEQUENCE = Modality("sequence", (20, 4))
VECTOR = Modality("vector", (6,))
TOKENS = Modality("tokens", (7,), vocabulary=11)
CASES = {"cnn": IMAGE, "gru": SEQUENCE, "conv_gru": SEQUENCE, "mlp": VECTOR, "embedding_gru": TOKENS}


def build(name, modality=None, **model):
    encoders = {"m": {"name": name, "channels": (4, 5, 6)}} if name == "conv_gru" else {"m": name}
    return build_encoder("m", modality or CASES[name], Model.model_validate({"dim": 5, "encoders": encoders, **model}))


def sample(modality, *lead):
    if modality.kind == "tokens":
        return torch.randint(modality.vocabulary, (*lead, *modality.shape))
    return torch.randn(*lead, *modality.shape)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_stack_is_its_clients(name, normalize, same_as_alone):
    encoder = build(name, dropout=0.3, normalize=normalize)
    assert stackable(encoder)
    same_as_alone(encoder, sample(CASES[name], 3, 2), call=lambda net, x: net(x).tokens)


@pytest.mark.parametrize("name", ["gru", "conv_gru", "embedding_gru"])
def test_a_stack_with_lengths_is_its_clients(name, same_as_alone):
    lengths = torch.tensor([[0, 20], [9, 5], [13, 8]]).clamp(max=CASES[name].shape[0])
    x = sample(CASES[name], 3, 2)
    same_as_alone(build(name, dropout=0.3), x, lengths, call=lambda net, x, lengths: net(x, lengths).pooled())


@pytest.mark.parametrize(
    ("name", "tokens"), [("cnn", 1), ("gru", 20), ("conv_gru", 2), ("mlp", 1), ("embedding_gru", 7)]
)
def test_default_encoders_give_tokens_of_one_width(name, tokens):
    feature = build(name).eval()(sample(CASES[name], 2))
    assert feature.tokens.shape == (2, tokens, 5)
    assert feature.valid.all()


@pytest.mark.parametrize("lengths", [(17, 1), (16, 8)])
@pytest.mark.parametrize("name", ["gru", "conv_gru"])
def test_padding_changes_nothing(name, lengths):
    encoder = build(name).eval()
    x, lengths = torch.randn(2, 17, 4), torch.tensor(lengths)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    more = torch.cat([x, torch.full((2, 15, 4), 9.0)], dim=1)
    torch.testing.assert_close(encoder(x, lengths).pooled(), encoder(more, lengths).pooled())


def test_lengths_count_tokens_and_are_at_least_one():
    x, lengths = torch.randn(3, 20, 4), torch.tensor([0, 9, 20])
    assert build("gru").eval()(x, lengths).valid.sum(-1).tolist() == [1, 9, 20]
    assert build("conv_gru").eval()(x, lengths).valid.sum(-1).tolist() == [1, 1, 2]


def test_kind_decides_by_default_and_embeddings_have_unit_length():
    for name in ("cnn", "gru", "mlp", "embedding_gru"):
        encoder = build_encoder("m", CASES[name], Model(dim=5, normalize=True)).eval()
        assert type(encoder) is type(build(name))
        embedding = encoder(sample(CASES[name], 2)).pooled().norm(dim=-1)
        torch.testing.assert_close(embedding, torch.ones_like(embedding))


@pytest.mark.parametrize("name", ["gru", "embedding_gru", "conv_gru"])
def test_unit_length_is_of_the_mean_over_valid_tokens(name):
    torch.manual_seed(0)
    x, lengths = sample(CASES[name], 3), torch.tensor([1, 9, 16])
    plain, unit = (build_encoder("m", CASES[name], Model(dim=5, normalize=n)).eval() for n in (False, True))
    unit.load_state_dict(plain.state_dict())
    before, after = plain(x, lengths), unit(x, lengths)
    torch.testing.assert_close(after.pooled().norm(dim=-1), torch.ones(3))
    ratios = after.tokens / before.tokens  # one scale a sample
    torch.testing.assert_close(ratios, ratios[:, :1, :1].expand_as(ratios))


@pytest.mark.parametrize(
    ("spec", "modality", "message"),
    [
        ("cnn", SEQUENCE, "encoder 'cnn' is for image, 'm' is sequence; use 'gru'"),
        ({"name": "gru", "channels": [3]}, SEQUENCE, "encoder 'gru' of 'm' has no convolution; remove its channels"),
        ("conv_gru", Modality("sequence", (7, 4)), "halves the steps 3 times, so it needs 8 or more, not 7"),
        ("cnn", Modality("image", (3, 3, 9)), "halves the image 2 times, so 3 x 9 pixels leave nothing"),
        ("auto", Modality("tokens", (7,)), "needs the size of the vocabulary"),
    ],
)
def test_what_does_not_fit(spec, modality, message):
    with pytest.raises(ValueError, match=message):
        build_encoder("m", modality, Model.model_validate({"encoders": {"m": spec}}))


WIDTHS = {
    "mlp": {(): [(5, 6)], (7,): [(7, 6), (5, 7)], (7, 4): [(7, 6), (4, 7), (5, 4)], None: [(5, 6), (5, 5)]},
    "cnn": {(7,): [(7, 256), (5, 7)], None: [(5, 256)]},
}


@pytest.mark.parametrize(("name", "hidden"), [(name, hidden) for name, table in WIDTHS.items() for hidden in table])
def test_hidden_layers_are_as_wide_as_they_are_told_to_be(name, hidden):
    torch.manual_seed(0)
    encoder = build_encoder(
        "m",
        CASES[name],
        Model.model_validate(
            {
                "dim": 5,
                "encoders": {"m": {"name": name, "hidden": hidden, **({"channels": [16]} if name == "cnn" else {})}},
            }
        ),
    )
    linear = [tuple(p.shape) for n, p in encoder.named_parameters() if p.dim() == 2]
    assert linear == WIDTHS[name][hidden]


@pytest.mark.parametrize("name", CASES)
def test_a_stack_with_hidden_layers_is_its_clients(name, same_as_alone):
    encoders = {"m": {"name": name, "hidden": (6, 3)}}
    if name == "conv_gru":
        encoders["m"]["channels"] = (4, 5)
    encoder = build_encoder("m", CASES[name], Model.model_validate({"dim": 5, "dropout": 0.3, "encoders": encoders}))
    same_as_alone(encoder, sample(CASES[name], 3, 2), call=lambda net, x: net(x).tokens)
    assert encoder.eval()(sample(CASES[name], 2)).tokens.shape[-1] == 5


def test_published_encoders_have_layers_of_their_own():
    with pytest.raises(ValueError, match=r"^encoder 'bert' of 'm' has its own layers; remove its hidden$"):
        build_encoder("m", TOKENS, Model.model_validate({"encoders": {"m": {"name": "bert", "hidden": (3,)}}}))
