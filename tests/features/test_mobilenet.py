"""MobileNetV2 from int8 weights, and what can be said of torchvision's backbones without torchvision."""

import hashlib
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from raysim.data.dataset import DataError
from raysim.data.media import image
from raysim.features import _mobilenet_int8, _torchvision

DATA = Path(__file__).parents[2] / "../shared/data/mobilenetv2"
WEIGHTS = DATA / "mobilenetv2_1.0_224_int8.npz"
needs_data = pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{WEIGHTS} is not there: weights and a photograph")


def arrays():
    """Weights of the right shapes, all zero."""
    network, found = _mobilenet_int8.Int8MobileNet(), {}
    for i, layer in enumerate(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)):
        found[f"w{i:02}"] = np.zeros(tuple(layer.weight.shape), np.int8)
        found[f"s{i:02}"] = np.ones(layer.out_channels, np.float32)
        found[f"b{i:02}"] = np.full(layer.out_channels, 0.5, np.float32)
    return found


def save(path, **changes):
    np.savez(path, **{k: v for k, v in {**arrays(), **changes}.items() if v is not None})


@needs_data
def test_it_recognises_a_cat():
    network = _mobilenet_int8.load(WEIGHTS).eval()
    labels = (DATA / "imagenet_labels.txt").read_text().splitlines()
    picture = image(DATA / "cat.bmp")
    with torch.inference_mode():
        likely = network.logits(_mobilenet_int8.pixels(picture, squash=True)[None]).softmax(1)[0].topk(3)
    assert [labels[i] for i in likely.indices] == ["Egyptian cat", "tabby, tabby cat", "tiger cat"]
    assert likely.values.tolist() == pytest.approx([0.672, 0.118, 0.065], abs=0.002)


@needs_data
def test_features_have_equal_bits_however_they_are_cut(make, pictures):
    pictures = [image(DATA / "cat.bmp"), *pictures]
    extractor = pickle.loads(pickle.dumps(make("mobilenet_v2", weights=str(WEIGHTS))))
    extractor.open()
    together = extractor.extract(pictures)
    assert [(f.shape, f.dtype) for f in together] == [((1280,), np.float32)] * 6
    assert [extractor.extract([p])[0].tobytes() for p in pictures] == [f.tobytes() for f in together]
    assert len({f.tobytes() for f in together}) == 6
    assert (together[0].min(), together[0].max()) == (0, pytest.approx(3.223, abs=0.001))
    grey = extractor.extract([pictures[0].convert("L")])[0]
    assert np.isfinite(grey).all()
    assert "torchvision" not in sys.modules


def test_layers_and_sizes():
    shapes = {key: value.shape for key, value in arrays().items() if key[0] == "w"}
    assert len(shapes) == 53
    assert sum(np.prod(shape) for shape in shapes.values()) == 3471040
    assert (shapes["w00"], shapes["w01"], shapes["w51"]) == ((32, 3, 3, 3), (32, 1, 3, 3), (1280, 320, 1, 1))
    assert sum(isinstance(m, _mobilenet_int8.Residual) for m in _mobilenet_int8.Int8MobileNet().modules()) == 10


def test_weights_are_steps_times_whole_numbers(tmp_path):
    kernel = np.zeros((32, 3, 3, 3), np.int8)
    kernel[7, 1, 0, 2] = -100
    save(tmp_path / "a.npz", w00=kernel, s00=np.full(32, 0.25, np.float32))
    first = next(m for m in _mobilenet_int8.load(tmp_path / "a.npz").modules() if isinstance(m, torch.nn.Conv2d))
    assert first.weight[7, 1, 0, 2].item() == -25
    assert first.weight.abs().sum().item() == 25
    assert first.bias.tolist() == [0.5] * 32


def test_pixels_reach_from_minus_one_to_one():
    from PIL import Image

    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :10] = 255
    squashed = _mobilenet_int8.pixels(Image.fromarray(wide), squash=True)
    assert squashed.shape == (3, 224, 224)
    assert (squashed[0, 100, 0].item(), squashed[0, 100, 223].item()) == (1, -1)
    assert _mobilenet_int8.pixels(Image.fromarray(wide), squash=False).unique().tolist() == [-1]


def truncated(path):
    save(path)
    path.write_bytes(path.read_bytes()[:100000])


def flipped(path):
    save(path)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: None, " does not exist"),
        (lambda path: path.touch(), " cannot be read as an .npz: File is not a zip file"),
        (truncated, " cannot be read as an .npz: File is not a zip file"),
        (flipped, " cannot be read as an .npz: Bad CRC-32 for file 'w"),
        (lambda path: save(path, w00=np.array([{}])), " cannot be read as an .npz: Object arrays cannot be loaded"),
        (lambda path: zipfile.ZipFile(path, "w").close(), ": w00 is not there; an int8 MobileNetV2 has int8 (32, 3, "),
        (lambda path: save(path, b52=None), ": b52 is not there; an int8 MobileNetV2 has float32 (1001,)"),
        (lambda path: save(path, w00=np.zeros((32, 3, 3, 3), np.float32)), ": w00 is float32 (32, 3, 3, 3); an int8"),
        (lambda path: save(path, s01=np.zeros(1, np.float32)), ": s01 is float32 (1,); an int8"),
    ],
    ids=["missing", "empty", "truncated", "flipped", "pickled", "nothing", "lacking", "type", "shape"],
)
def test_no_weights_in_the_file(make, tmp_path, spoil, what):
    path = tmp_path / "a.npz"
    spoil(path)
    with pytest.raises(DataError) as caught:
        make("mobilenet_v2", weights=str(path)).open()
    assert str(caught.value).startswith(f"weights: {path}{what}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_without_torchvision(make, monkeypatch, name):
    for module in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r"^torchvision cannot be imported \(.+\); pip install 'raysim\[vision\]', the"):
        make(name, weights="random").open()


def test_a_torchvision_for_another_torch(make, monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms\\ndoes not exist')")
    for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        DataError, match=r"^torchvision cannot be imported \(operator nms does not exist\); pip install"
    ):
        make("resnet50").open()


def test_a_download_is_kept_if_its_hash_is_right(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    hub = tmp_path / "home" / "hub" / "checkpoints"
    right = f"net-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    for name in (right, "net-0badbad0.pth"):
        (tmp_path / name).write_bytes(b"weights")
    assert _torchvision._downloaded("net", (tmp_path / right).as_uri()) == hub / right
    (tmp_path / right).unlink()
    assert _torchvision._downloaded("net", (tmp_path / right).as_uri()).read_bytes() == b"weights"
    with pytest.raises(DataError, match=r"net-0badbad0\.pth is not there, and .+ \(invalid hash value .+\); put the"):
        _torchvision._downloaded("net", (tmp_path / "net-0badbad0.pth").as_uri())
    assert [p.name for p in hub.iterdir()] == [right]
