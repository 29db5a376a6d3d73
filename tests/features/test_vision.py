"""torchvision for real, in a run of its own: `pytest -m vision`."""

import numpy as np
import pytest
import torch
from PIL import Image

from raysim.data.dataset import DataError
from raysim.features._torchvision import pixels

pytestmark = [pytest.mark.vision, pytest.mark.usefixtures("torchvision")]

FILES = {"mobilenet_v2": "mobilenet_v2-b0353104.pth", "resnet50": "resnet50-0676ba61.pth"}
WAYS = "{{name: {}, weights: /path/to/file.pth}} (for tests: random)"


def opened(extractor):
    extractor.open()
    return extractor


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """torch's hub, empty and without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize(("name", "dim", "count"), [("mobilenet_v2", 1280, 5), ("resnet50", 2048, 2)])
def test_features_of_random_weights(make, pictures, name, dim, count):
    extractor, some = opened(make(name, weights="random")), pictures[:count]
    together = extractor.extract(some)
    assert [(f.shape, f.dtype) for f in together] == [((dim,), np.float32)] * count
    assert len({f.tobytes() for f in together}) == count
    assert np.isfinite(together).all()
    again = opened(make(name, weights="random"))
    assert [f.tobytes() for p in reversed(some) for f in again.extract([p])] == [f.tobytes() for f in together[::-1]]


def test_threads_change_no_bit_and_stay_as_they_were(make, pictures):
    extractor, before, found = opened(make("mobilenet_v2", weights="random")), torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(extractor.extract(pictures[:1])[0].tobytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0] == found[1]


def test_random_weights_leave_the_random_numbers_alone(make):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    opened(make("mobilenet_v2", weights="random"))
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_torchvisions_own_preset(torchvision, pictures, name):
    preset = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    for picture in pictures:
        assert torch.equal(pixels(picture, squash=False), preset(picture))


def test_a_squashed_picture_keeps_its_edges():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :10] = 255
    wide = Image.fromarray(wide)
    white, black = (1 - 0.485) / 0.229, -0.485 / 0.229
    squashed, cut = pixels(wide, squash=True), pixels(wide, squash=False)
    assert squashed.shape == cut.shape == (3, 224, 224)
    assert (squashed[0, 100, 0].item(), squashed[0, 100, 223].item()) == pytest.approx((white, black))
    assert (cut[0].min().item(), cut[0].max().item()) == pytest.approx((black, black))


def test_official_weights_are_found_in_the_hub(torchvision, make, pictures, hub):
    """The file's name holds its hash, which is looked at when it is downloaded, not later."""
    hub.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = torchvision.models.mobilenet_v2().state_dict()
    torch.save(state, hub / FILES["mobilenet_v2"])
    torch.save(state, hub / "mine.pth")
    found = opened(make("mobilenet_v2")).extract(pictures[:1])[0]
    assert np.array_equal(found, opened(make("mobilenet_v2", weights=str(hub / "mine.pth"))).extract(pictures[:1])[0])
    assert not np.array_equal(found, opened(make("mobilenet_v2", weights="random")).extract(pictures[:1])[0])


@pytest.mark.parametrize("name", FILES)
def test_without_weights_and_network(make, hub, name):
    file = FILES[name]
    with pytest.raises(DataError) as caught:
        make(name).open()
    message = str(caught.value)
    assert message.startswith(
        f"weights: {hub / file} is not there, and https://download.pytorch.org/models/{file} cannot be downloaded ("
    )
    assert message.endswith(f"; put the file there, or name another: {WAYS.format(name)}")
    assert "\n" not in message
    assert list(hub.iterdir()) == []


def broken(path):
    torch.save(torch.nn.Linear(2, 3).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])


FOREIGN = "is no state dict of torchvision's mobilenet_v2 ("


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: None, "does not exist;"),
        (lambda path: path.touch(), "is damaged, or is no state dict;"),
        (lambda path: path.write_text("<html>404</html>"), "is damaged, or is no state dict;"),
        (lambda path: path.mkdir(), "is damaged, or is no state dict;"),
        (broken, "is damaged, or is no state dict;"),
        (lambda path: torch.save(torch.nn.Linear(2, 3), path), "is damaged, or is no state dict;"),
        (lambda path: torch.save(torch.nn.Linear(2, 3).state_dict(), path), FOREIGN),
        (lambda path: torch.save([1, 2], path), FOREIGN),
        (lambda path: torch.save({"features.0.0.weight": torch.zeros(1)}, path), FOREIGN),
    ],
    ids=["missing", "empty", "html", "folder", "truncated", "pickled", "foreign", "list", "shape"],
)
def test_no_weights_in_the_file(make, tmp_path, spoil, what):
    path = tmp_path / "a.pth"
    spoil(path)
    with pytest.raises(DataError) as caught:
        make("mobilenet_v2", weights=str(path)).open()
    message = str(caught.value)
    assert message.startswith(f"weights: {path} {what}")
    assert message.endswith(WAYS.format("mobilenet_v2"))
    assert "\n" not in message
    assert len(message) < 500
