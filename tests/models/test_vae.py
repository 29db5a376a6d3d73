import copy
import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from raysim.data.dataset import Modality
from raysim.models.layers import Linear, Unflatten, stackable
from raysim.models.likelihood import Categorical, Laplace
from raysim.models.vae import Raw, VaeDecoder, load_weights, vae

CASES = {
    "image": (Modality("image", (3, 9, 6)), "cnn"),
    "vector": (Modality("vector", (6,)), "mlp"),
    "mean": (Modality("sequence", (5, 6)), "gru"),
    "spectrogram": (Modality("sequence", (20, 6)), "conv_gru"),
}


def size(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def build(name):
    modality, encoder = CASES[name]
    return *vae(modality, encoder, latent=4, hidden=8), modality


def test_sizes():
    assert size(*vae(Modality("vector", (1280,)), "mlp")) == 2_199_424
    assert size(*vae(Modality("sequence", (64, 512)), "gru")) == 1_412_224
    assert [size(half) for half in vae(Modality("sequence", (1000, 80)), "conv_gru")] == [69_032, 121_968 - 69_032]


@pytest.mark.parametrize("name", CASES)
def test_a_stack_is_its_clients(name, same_as_alone):
    encoder, decoder, modality = build(name)
    assert stackable(encoder)
    assert stackable(decoder)
    x, z = torch.randn(3, 2, *modality.shape), torch.randn(3, 2, 4)
    same_as_alone(encoder, x, call=lambda net, x: torch.cat(net(net.target(x)), dim=-1))
    same_as_alone(decoder, z, encoder.target(x), call=lambda net, z, target: net.error(z, target))


def test_an_error_is_minus_the_log_likelihood_of_unit_variance():
    decoder = VaeDecoder(nn.Identity(), dims=2)
    z, target = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 1.0]]]), torch.zeros(2, 2, 2)
    assert decoder.error(z, target).tolist() == [15, 0.5]
    exact = -torch.distributions.Normal(z, 1.0).log_prob(target).sum((-2, -1))
    torch.testing.assert_close(decoder.error(z, target), exact - 2 * math.log(2 * math.pi))


@pytest.mark.parametrize("name", CASES)
def test_several_draws_of_a_sample_are_decoded_and_compared_at_once(name, same_as_alone):
    encoder, decoder, modality = build(name)
    decoder.likelihood = Laplace(name="laplace", scale=0.5)
    z, target = torch.randn(3, 2, 5, 4), encoder.target(torch.randn(3, 2, *modality.shape))
    same_as_alone(decoder, z, target, call=lambda net, z, target: net.log_prob(z, target))
    each = [torch.distributions.Laplace(decoder(z[0, :, s]), 0.5).log_prob(target[0]) for s in range(5)]
    torch.testing.assert_close(decoder.log_prob(z[0], target[0]), torch.stack([e.flatten(1).sum(1) for e in each], 1))
    torch.testing.assert_close(decoder.draws(z[0])[:, 3], decoder(z[0, :, 3]))


def test_words_beyond_a_text_do_not_count():
    decoder = VaeDecoder(nn.Sequential(Linear(4, 15), Unflatten(3, 5)), dims=2)
    decoder.likelihood = Categorical(name="categorical")
    z, words = torch.randn(2, 6, 4), torch.tensor([[1, 4, 0], [2, 3, 3]])
    logs = decoder.draws(z).log_softmax(-1)
    first, second = logs[0, :, 0, 1], logs[1, :, 0, 2] + logs[1, :, 1, 3] + logs[1, :, 2, 3]
    torch.testing.assert_close(decoder.log_prob(z, words, torch.tensor([1, 3])), torch.stack([first, second]))
    assert (decoder.log_prob(z, words)[0] < first).all()


def test_the_scale_of_a_prior_is_each_clients_own(same_as_alone):
    assert stackable(Raw(4))
    same_as_alone(Raw(4), torch.randn(3, 2, 4), call=lambda net, x: net(x) * x)
    assert Raw(2)(torch.ones(3, 2)).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("name", "shape", "lengths"),
    [("image", (3, 9, 6), None), ("vector", (6,), None), ("mean", (1, 6), [1, 1]), ("spectrogram", (19, 6), [19, 19])],
)
def test_decoded_samples(name, shape, lengths):
    z = torch.randn(2, 4)
    encoder, decoder, modality = build(name)
    assert decoder(z).shape == encoder.target(torch.zeros(2, *modality.shape)).shape == (2, *shape)
    given = decoder.lengths(z)
    assert (None if given is None else given.tolist()) == lengths


@pytest.mark.parametrize(("height", "width"), [(28, 28), (7, 13), (1, 2), (64, 30)])
def test_images_of_any_size(height, width):
    encoder, decoder = vae(Modality("image", (3, height, width)), "cnn", latent=4)
    assert encoder(torch.randn(2, 3, height, width))[0].shape == (2, 4)
    assert decoder(torch.randn(2, 4)).shape == (2, 3, height, width)


@pytest.mark.parametrize(("steps", "frames"), [(1000, 63), (62, 59), (11, 11), (8, 11)])
def test_frames_of_short_sequences(steps, frames):
    encoder, decoder = vae(Modality("sequence", (steps, 6)), "conv_gru", latent=4)
    assert encoder.target(torch.zeros(1, steps, 6)).shape[1] == decoder.steps == frames


def test_mean_target_reads_valid_steps_only():
    encoder, _, _ = build("mean")
    x = torch.arange(5.0).reshape(1, 5, 1).expand(2, 5, 6).clone()
    x[0, 2:] = float("nan")
    assert encoder.target(x, torch.tensor([2, 5]))[..., 0].tolist() == [[0.5], [2]]
    assert encoder.target(x[1:], None)[..., 0].tolist() == [[2]]


def test_spectrogram_target_is_linear_between_valid_steps():
    encoder, _, _ = build("spectrogram")
    x = torch.arange(20.0).reshape(1, 20, 1).expand(3, 20, 6).clone()
    x[0, 1:], x[1, 19:] = 99.0, 99.0
    target = encoder.target(x, torch.tensor([1, 19, 20]))[..., 0]
    assert target[0].tolist() == [0] * 19
    assert target[1].tolist() == list(range(19))
    torch.testing.assert_close(target[2], (torch.arange(19) + 0.5) * 20 / 19 - 0.5)
    assert torch.equal(encoder.target(x, None)[2, :, 0], target[2])


def test_token_ids_have_no_autoencoder():
    with pytest.raises(ValueError, match="token ids"):
        vae(Modality("tokens", (7,), 11), "auto")


@pytest.fixture
def saved(tmp_path):
    """`saved(change)`: two networks of zeros, and a file with ones for the first, changed."""

    def make(change=lambda tensors: tensors):
        nets = {name: nn.Linear(2, 1) for name in ("gen.a.encoder", "gen.a.decoder")}
        for p in (p for net in nets.values() for p in net.parameters()):
            nn.init.zeros_(p)
        tensors = {
            f"{name}/{key}": torch.ones(t.shape) for name, n in nets.items() for key, t in n.state_dict().items()
        }
        path = tmp_path / "weights.safetensors"
        save_file(change(tensors), path)
        return str(path), nets

    return make


def test_weights_are_copied_and_other_groups_in_the_file_are_left_alone(saved):
    path, nets = saved(lambda tensors: tensors | {"task.head/weight": torch.zeros(9)})
    load_weights(path, nets)
    assert all(torch.equal(p, torch.ones_like(p)) for net in nets.values() for p in net.parameters())


def without(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("gen.a.decoder/bias"), r"has no tensor 'gen.a.decoder/bias' of shape \(1,\); add it"),
        (lambda t: t | {"gen.a.encoder/weight": torch.zeros(3, 1)},
         r": the shape of 'gen.a.encoder/weight' is \(3, 1\), the network's \(1, 2\); make the options those"),
        (lambda t: t | {"gen.a.encoder/scale": torch.zeros(1)},
         "has a tensor 'gen.a.encoder/scale' that the network lacks; remove it"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_change_nothing(saved, change, message):
    path, nets = saved(change)
    before = copy.deepcopy(nets)
    with pytest.raises(ValueError, match=f"weights.safetensors.*{message}") as raised:
        load_weights(path, nets)
    assert "\n" not in str(raised.value)
    assert all(
        torch.equal(p, q) for n in nets for p, q in zip(nets[n].parameters(), before[n].parameters(), strict=True)
    )


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_weights_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.safetensors cannot be read \(.+\); write it with") as raised:
        load_weights(str(path), {})
    assert "\n" not in str(raised.value)
