import numpy as np
import pytest
from PIL import Image

from raysim.features.pixels import middle


def ramp(height, width):
    """Every pixel says where it stands."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("height", "width", "first", "last"),
    [(4, 4, (0, 0), (3, 3)), (4, 10, (0, 3), (3, 6)), (10, 4, (3, 0), (6, 3)), (4, 7, (0, 2), (3, 5))],
)
def test_the_middle_is_kept(height, width, first, last):
    found = np.asarray(middle(ramp(height, width), 4))
    assert found.shape == (4, 4, 3)
    assert (tuple(found[0, 0, :2].tolist()), tuple(found[-1, -1, :2].tolist())) == (first, last)


@pytest.mark.parametrize(
    ("size", "resize", "shape"), [((100, 50), None, (8, 8)), ((3, 2), None, (8, 8)), ((9, 9), 12, (8, 8))]
)
def test_sizes(size, resize, shape):
    assert middle(Image.new("RGB", size), 8, resize=resize).size == shape


def test_the_shorter_side_is_scaled_before_the_middle_is_cut():
    found = np.asarray(middle(ramp(20, 40), 6, resize=10))
    assert found.shape == (6, 6, 3)
    assert found[:, 0, 0].tolist() == pytest.approx([4.5, 6.5, 8.5, 10.5, 12.5, 14.5], abs=0.5)
    assert found[0, :, 1].tolist() == pytest.approx([14.5, 16.5, 18.5, 20.5, 22.5, 24.5], abs=0.5)


def test_channels_come_first(make):
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    (found,) = make("pixels").extract([picture])
    assert found.dtype == np.uint8
    assert found.tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]


@pytest.mark.parametrize(("color", "shape"), [("rgb", (3, 4, 4)), ("grey", (1, 4, 4))])
def test_all_pictures_get_one_shape(make, pictures, color, shape):
    extractor = make("pixels", size=4, color=color)
    found = extractor.extract([*pictures, Image.new("L", (9, 5), 7)])
    assert [f.shape for f in found] == [shape] * 6
    assert found[5].tolist() == np.full(shape, 7).tolist()
    assert [extractor.extract([p])[0].tobytes() for p in pictures] == [f.tobytes() for f in found[:5]]


def test_grey_weighs_the_colours(make):
    assert make("pixels", color="grey").extract([Image.new("RGB", (1, 1), (200, 100, 50))])[0].tolist() == [[[124]]]


@pytest.mark.parametrize(
    ("given", "kept"), [("f8", "f4"), ("f2", "f4"), ("i8", "f4"), ("?", "f4"), ("f4", "f4"), ("u1", "u1")]
)
def test_arrays_are_kept(make, given, kept):
    found = make("keep").extract([np.array([1, 0], given), np.array([[0, 1]], given)])
    assert [f.dtype for f in found] == [np.dtype(kept)] * 2
    assert [f.tolist() for f in found] == [[1, 0], [[0, 1]]]
