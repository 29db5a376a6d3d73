import pytest
import torch
from torch import nn

from raysim.data.dataset import Modality
from raysim.models.layers import stackable
from raysim.models.resnet_vae import ResidualBlock, resnet_vae


def size(module):
    return sum(p.numel() for p in module.parameters())


def conv(inputs, outputs, kernel=3):
    """Weights and biases of a convolution."""
    return inputs * outputs * kernel**2 + outputs


def narrow(shape, latent=4):
    return resnet_vae(Modality("image", shape), latent, width=2)


def test_sizes_are_those_of_table_4():
    encoder, decoder = resnet_vae(Modality("image", (3, 28, 28)))
    even = 2 * conv(64, 64)
    # A shortcut of a wider or narrower block has no biases; of the two convolutions' widths the smaller lies between.
    wider = conv(64, 64) + conv(64, 128) + 64 * 128, conv(128, 128) + conv(128, 256) + 128 * 256
    narrower = conv(256, 128) + conv(128, 128) + 256 * 128, conv(128, 64) + conv(64, 64) + 128 * 64
    heads = 2 * (256 * 7 * 7 * 32 + 32)
    assert size(encoder) == 2 * (conv(3, 64) + even + sum(wider) + heads) == 2_946_048
    assert size(decoder) == 64 * 256 * 7 * 7 + 256 * 7 * 7 + sum(narrower) + even + conv(64, 3) == 1_485_251
    # 4.43 M, and 22.16 M for the five modalities of PolyMNIST.
    assert 5 * (size(encoder) + size(decoder)) == 22_156_495


def test_blocks_come_after_halving_and_before_doubling():
    encoder, decoder = narrow((3, 8, 8))
    down = ["Conv2d", "ResidualBlock", "AvgPool2d", "ResidualBlock", "AvgPool2d", "ResidualBlock", "Flatten"]
    up = ["Linear", "Unflatten", "ResidualBlock", "Upsample2d", "ResidualBlock", "Upsample2d", "ResidualBlock"]
    for net, expected in ((encoder.net, down), (encoder.shared.net, down), (decoder.net, [*up, "LeakyReLU", "Conv2d"])):
        assert [type(layer).__name__ for layer in net] == expected


def test_a_block_adds_a_tenth_of_its_residual():
    block, x = ResidualBlock(2, 1), torch.tensor([1.0, -10.0]).reshape(1, 2, 1, 1)
    values = {"shortcut.weight": 5.0, "residual.1.weight": 2.0, "residual.1.bias": -3.0, "residual.3.weight": 4.0}
    for name, parameter in block.named_parameters():
        nn.init.constant_(parameter, values.get(name, 1.0))
    # 1 and -10 leak to 1 and -2; 2 * (1 - 2) - 3 = -5 leaks to -1, and 4 * -1 + 1 = -3. The shortcut has no bias.
    assert block(x).item() == pytest.approx(5 * (1 - 10) + 0.1 * -3)
    same = ResidualBlock(1, 1)
    for parameter in same.parameters():
        nn.init.constant_(parameter, 1.0)
    # 1 + 1 = 2, 2 + 1 = 3; -10 leaks to -2, -2 + 1 = -1 to -0.2.
    assert same(x.transpose(0, 1)).flatten().tolist() == pytest.approx([1 + 0.3, -10 + 0.08])


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 8, 8), (4, 4, 12)])
def test_images_of_other_sizes(shape):
    encoder, decoder = narrow(shape)
    mean, logvar = encoder(torch.randn(2, *shape))
    assert mean.shape == logvar.shape == (2, 4)
    assert decoder(mean).shape == (2, *shape)


@pytest.mark.parametrize(("height", "width"), [(30, 28), (28, 30), (2, 4)])
def test_sizes_that_are_not_restored_are_refused(height, width):
    message = f"^the residual autoencoder .* must be multiples of 4, not {height} and {width}; crop it or "
    with pytest.raises(ValueError, match=message):
        narrow((3, height, width))


def test_an_odd_latent_space_has_no_halves():
    with pytest.raises(ValueError, match=r"^the residual autoencoder's latent space .*; make its width even, not 5$"):
        narrow((3, 8, 8), latent=5)


def test_one_branch_is_half_of_two():
    image = Modality("image", (3, 8, 8))
    encoder, decoder = resnet_vae(image, latent=3, width=2, branches=1)
    whole, other = resnet_vae(image, latent=6, width=2)
    assert 2 * size(encoder) == size(whole)
    assert size(other) - size(decoder) == 3 * 8 * 2 * 2
    assert [part.shape for part in encoder(torch.randn(2, 3, 8, 8))] == [(2, 3), (2, 3)]
    assert decoder(torch.randn(2, 3)).shape == (2, 3, 8, 8)


def test_each_half_of_the_posterior_has_its_trunk():
    encoder, _ = narrow((1, 4, 4))
    x = torch.randn(2, 1, 4, 4)
    before = encoder(x)
    for p in encoder.shared.parameters():
        nn.init.zeros_(p)
    for old, new in zip(before, encoder(x), strict=True):
        assert torch.equal(new[:, :2], old[:, :2])
        assert old[:, 2:].all()
        assert not new[:, 2:].any()


def test_a_stack_is_its_clients(same_as_alone):
    encoder, decoder = narrow((3, 8, 4))
    assert stackable(encoder)
    assert stackable(decoder)
    x = torch.randn(3, 2, 3, 8, 4)
    same_as_alone(encoder, x, call=lambda net, x: torch.cat(net(x), dim=-1))
    same_as_alone(decoder, torch.randn(3, 2, 4), x, call=lambda net, z, target: net.error(z, target))


def test_it_learns_to_restore_images():
    torch.manual_seed(0)
    encoder, decoder = resnet_vae(Modality("image", (1, 8, 8)), latent=8, width=4)
    # Two positions of a bright square, in two colours.
    images = torch.zeros(4, 1, 8, 8)
    for k, (row, value) in enumerate([(0, 1.0), (4, 1.0), (0, -1.0), (4, -1.0)]):
        images[k, :, row : row + 4, row : row + 4] = value
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    errors = []
    for _ in range(40):
        error = decoder.error(encoder(images)[0], images).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[0] > 6
    assert errors[-1] < 0.5
