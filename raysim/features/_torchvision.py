"""Image backbones without their last layer: torchvision's networks and weights, and how pictures go through one.

The last bits of a convolution depend on how many pictures and threads it gets (measured: MobileNetV2 on the CPU), so
that it gets one picture and one thread; the processes of `raysim data prepare` make up for it.
"""

import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raysim.data.dataset import Array, DataError
from raysim.features._hub import short
from raysim.features._torch import one_thread

SIDE, SHORTER = 224, 256
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training pictures, by channel."""
WAY = "put the file there, or name another: weights: /path/to/file.pth"


class Backbone:
    """A network (1, 3, 224, 224) -> (1, D) on a GPU if there is one.

    Args:
        network: it is put into evaluation mode.
        pixels: a PIL image in RGB -> (3, 224, 224).
    """

    def __init__(self, network: nn.Module, pixels: Callable[[Any], Tensor]) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network, self._pixels = network.eval().to(self._device), pixels

    def __call__(self, pictures: Sequence[Any]) -> list[Array]:
        """(D,) float32 of each picture."""
        with torch.inference_mode(), _same_bits():
            return [self._one(picture) for picture in pictures]

    def _one(self, picture: Any) -> Array:
        pixels = self._pixels(picture.convert("RGB"))[None]
        return self._network(pixels.to(self._device))[0].cpu().numpy()


def network(name: str, last: str, weights: str, *, seed: int | None = None) -> nn.Module:
    """One of torchvision's networks.

    Args:
        name: as torchvision has it.
        last: the name of its last layer, which is left out.
        weights: `imagenet`, `random`, or the path of a state dict.
        seed: of random weights; None for torch's own generator.

    Raises:
        DataError: torchvision or the weights are not there, or they are of another network.
    """
    models = torchvision("models")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        made: nn.Module = models.get_model(name, weights=None)
    if weights != "random":
        official = weights == "imagenet"
        path = _downloaded(name, models.get_model_weights(name).IMAGENET1K_V1.url) if official else Path(weights)
        _load(made, name, path)
    setattr(made, last, nn.Identity())
    return made


def classifiers() -> list[str]:
    """The names of torchvision's image classifiers whose output is one tensor."""
    models = torchvision("models")
    return [name for name in models.list_models(module=models) if name not in ("googlenet", "inception_v3")]


def classifier(name: str, weights: str | None) -> nn.Module:
    """A whole image classifier, of 1,000 classes.

    Args:
        name: one of `classifiers()`.
        weights: the path of a state dict; `DEFAULT`: torchvision's own, which are downloaded if they are not there;
            None: values by torch's generator.

    Raises:
        DataError: torchvision or the weights are not there, or they are of another network.
    """
    models = torchvision("models")
    made: nn.Module = models.get_model(name, weights=None)
    if weights is not None:
        published = weights == "DEFAULT"
        path = _downloaded(name, models.get_model_weights(name).DEFAULT.url, WAY) if published else Path(weights)
        _load(made, name, path, WAY)
    return made


def pixels(picture: Any, *, squash: bool) -> Tensor:
    """A PIL image in RGB as (3, 224, 224), normalised: scaled to that size, or the middle of one of 256.

    As torchvision's own presets do it, whose roundings differ from those of `pixels.middle`.
    """
    transforms = torchvision("transforms.functional")
    if squash:
        square = transforms.resize(picture, [SIDE, SIDE])
    else:
        square = transforms.center_crop(transforms.resize(picture, [SHORTER]), [SIDE])
    return transforms.normalize(transforms.to_tensor(square), MEAN, DEVIATION)


def torchvision(part: str) -> Any:
    """One of its modules.

    Raises:
        DataError: it cannot be imported.
    """
    try:
        return importlib.import_module(f"torchvision.{part}")
    except (ImportError, RuntimeError, OSError) as error:  # all but the first: it was built for another torch
        raise DataError(
            f"torchvision cannot be imported ({short(error)}); pip install 'raysim[vision]', the build for your torch"
        ) from error


def _downloaded(name: str, url: str, way: str | None = None) -> Path:
    """Where torch keeps the file of an address, which it ends with the first digits of its SHA-256."""
    file = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), file.rpartition("-")[2].partition(".")[0], progress=False)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"weights: {path} is not there, and {url} cannot be downloaded ({short(error)}); {way or _ways(name)}"
            ) from error
    return path


def _load(network: nn.Module, name: str, path: Path, way: str | None = None) -> None:
    way = way or _ways(name)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"weights: {path} does not exist; {way}") from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise DataError(f"weights: {path} is damaged, or is no state dict; {way}") from error
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise DataError(f"weights: {path} is no state dict of torchvision's {name} ({short(error)}); {way}") from error


def _ways(name: str) -> str:
    return f"put the file there, or name another: {{name: {name}, weights: /path/to/file.pth}} (for tests: random)"


@contextmanager
def _same_bits() -> Generator[None]:
    """One thread; on a GPU neither TensorFloat-32 nor algorithms that add in any order."""
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
