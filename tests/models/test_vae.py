import pytest
import torch

from raysim.data.dataset import Modality
from raysim.models.layers import stackable
from raysim.models.vae import mapping, vae

CASES = {
    "image": (Modality("image", (3, 9, 6)), "cnn"),
    "vector": (Modality("vector", (6,)), "mlp"),
    "mean": (Modality("sequence", (5, 6)), "gru"),
    "spectrogram": (Modality("sequence", (20, 6)), "conv_gru"),
}


def size(module):
    return sum(p.numel() for p in module.parameters())


def build(name):
    modality, encoder = CASES[name]
    return vae(modality, encoder, latent=4, hidden=8), modality


def test_sizes():
    assert size(vae(Modality("vector", (1280,)), "mlp")) == 2_199_424
    assert size(vae(Modality("sequence", (64, 512)), "gru")) == 1_412_224
    assert size(vae(Modality("sequence", (1000, 80)), "conv_gru")) == 121_968
    assert [size(mapping(64)), size(mapping(128)), size(mapping(64, 128))] == [594_496, 660_096, 50_368]


@pytest.mark.parametrize("name", CASES)
def test_a_stack_is_its_clients(name, same_as_alone):
    module, modality = build(name)
    assert stackable(module)
    same_as_alone(
        module,
        torch.randn(3, 2, *modality.shape),
        torch.randn(3, 2, 4),
        call=lambda net, x, eps: net.loss(x, None, eps, 0.5),
    )


def test_mapping_stack_is_its_clients(same_as_alone):
    same_as_alone(mapping(4, 8), torch.randn(3, 2, 4))


@pytest.mark.parametrize("name", CASES)
def test_loss_is_squared_error_plus_divergence(name):
    module, modality = build(name)
    x, eps = torch.randn(2, *modality.shape), torch.zeros(2, 4)
    lengths = torch.tensor([5, 3]) if modality.ordered else None
    mean, logvar = module.encode(x, lengths)
    error = (module.decode(mean) - module.target(x, lengths)).square().flatten(1).sum(-1)
    normal = torch.distributions.Normal(mean, (logvar / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(4), torch.ones(4))
    kl = torch.distributions.kl_divergence(normal, prior).sum(-1)
    torch.testing.assert_close(module.loss(x, lengths, eps, 0.5), error + 0.5 * kl)


@pytest.mark.parametrize(
    ("name", "shape", "lengths"),
    [("image", (3, 9, 6), None), ("vector", (6,), None), ("mean", (1, 6), [1, 1]), ("spectrogram", (19, 6), [19, 19])],
)
def test_decoded_samples(name, shape, lengths):
    z = torch.randn(2, 4)
    module, _ = build(name)
    assert module.decode(z).shape == (2, *shape)
    given = module.lengths(z)
    assert (None if given is None else given.tolist()) == lengths


@pytest.mark.parametrize(("height", "width"), [(28, 28), (7, 13), (1, 2), (64, 30)])
def test_images_of_any_size(height, width):
    module = vae(Modality("image", (3, height, width)), "cnn", latent=4)
    assert module.decode(torch.randn(2, 4)).shape == (2, 3, height, width)


@pytest.mark.parametrize(("steps", "frames"), [(1000, 63), (62, 59), (11, 11), (8, 11)])
def test_frames_of_short_sequences(steps, frames):
    assert vae(Modality("sequence", (steps, 6)), "conv_gru", latent=4).steps == frames


def test_mean_target_reads_valid_steps_only():
    module, _ = build("mean")
    x = torch.arange(5.0).reshape(1, 5, 1).expand(2, 5, 6).clone()
    x[0, 2:] = float("nan")
    assert module.target(x, torch.tensor([2, 5]))[..., 0].tolist() == [[0.5], [2]]
    assert module.target(x[1:], None)[..., 0].tolist() == [[2]]


def test_spectrogram_target_is_linear_between_valid_steps():
    module, _ = build("spectrogram")
    x = torch.arange(20.0).reshape(1, 20, 1).expand(3, 20, 6).clone()
    x[0, 1:], x[1, 19:] = 99.0, 99.0
    target = module.target(x, torch.tensor([1, 19, 20]))[..., 0]
    assert target[0].tolist() == [0] * 19
    assert target[1].tolist() == list(range(19))
    torch.testing.assert_close(target[2], (torch.arange(19) + 0.5) * 20 / 19 - 0.5)
    assert torch.equal(module.target(x, None)[2, :, 0], target[2])


def test_token_ids_have_no_autoencoder():
    with pytest.raises(ValueError, match="token ids"):
        vae(Modality("tokens", (7,), 11), "auto")
