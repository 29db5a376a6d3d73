import numpy as np
import pytest
import vision
from PIL import Image

from raysim import registry


@pytest.fixture(scope="session")
def torchvision(request):
    return vision.torchvision(own_run=request.config.getoption("-m") == "vision")


@pytest.fixture
def make():
    """An extractor by name, with options."""

    def made(name, **options):
        kind = registry.find("feature", name)
        return kind(registry.options(kind, options))

    return made


@pytest.fixture(scope="session")
def pictures():
    """Five pictures of different sizes, all noise."""
    rng = np.random.default_rng(0)
    sizes = ((256, 300), (230, 224), (64, 64), (301, 257), (400, 256))
    return [Image.fromarray(rng.integers(256, size=(*size, 3), dtype=np.uint8)) for size in sizes]
