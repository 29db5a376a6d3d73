"""Which colour a picture has: flat ones, a literal table of OpenCV's values, ties."""

import pytest
import torch

from raysim.generation.colours import RANGES, caption, coherent, hsv

FLAT = {
    "white": (250, 250, 250), "yellow": (250, 230, 20), "red": (200, 20, 30), "blue": (20, 40, 220),
    "green": (30, 180, 40), "gray": (100, 100, 100), "brown": (150, 100, 30), "black": (10, 5, 5),
}  # fmt: skip
HSV = {  # cv2.cvtColor(..., COLOR_RGB2HSV) of OpenCV 5.0.0
    (250, 230, 20): (27, 235, 250), (200, 20, 30): (178, 229, 200), (20, 40, 220): (117, 232, 220),
    (30, 180, 40): (62, 213, 180), (150, 100, 30): (18, 204, 150), (10, 5, 5): (0, 128, 10), (0, 0, 0): (0, 0, 0),
    (255, 0, 255): (150, 255, 255), (255, 0, 1): (0, 255, 255), (13, 200, 77): (70, 238, 200),
    (1, 2, 3): (105, 170, 3), (255, 255, 254): (30, 1, 255),
}  # fmt: skip


def picture(*pixels):
    """(1, 3, 1, W) of 8-bit pixels."""
    return torch.tensor(pixels).T[None, :, None, :] / 255


def coherent_with(*pixels):
    return {c for c in RANGES if coherent(picture(*pixels), c).item()}


def test_values_are_opencv_s():
    assert {p: tuple(hsv(picture(p)).flatten().tolist()) for p in HSV} == HSV


@pytest.mark.parametrize("colour", list(RANGES))
def test_a_flat_picture_has_its_colour_alone(colour):
    assert coherent_with(*[FLAT[colour]] * 4) == {colour}
    assert caption(colour) == f"this bird is completely {colour}"


def test_the_two_most_frequent_colours_count():
    red, blue, green = FLAT["red"], FLAT["blue"], FLAT["green"]
    assert coherent_with(red, red, red, blue, blue, green) == {"red", "blue"}
    assert coherent_with(red, red, blue, green) == {"red", "blue", "green"}  # tied for the second place
    assert coherent_with(red, red, blue, blue, green) == {"red", "blue"}
    assert coherent_with(red, blue, green) == {"red", "blue", "green"}


def test_borders_belong_to_both_ranges_and_a_pale_pixel_to_none():
    assert coherent_with((120, 120, 120)) == {"white", "gray"}
    assert coherent_with((50, 50, 50)) == {"gray", "black"}
    assert coherent_with((200, 170, 170)) == set()  # saturation 38


def test_pictures_of_a_batch_are_judged_one_by_one_and_rounded_to_8_bits():
    both = torch.cat([picture(FLAT["red"]), picture(FLAT["blue"])])
    assert coherent(both, "red").tolist() == [True, False]
    assert coherent(both * 1.001 + 0.0004, "red").tolist() == [True, False]
    assert coherent(torch.full((2, 3, 4, 4), 1.7), "white").all()


def test_what_is_no_number_has_no_colour():
    broken = picture(FLAT["black"], FLAT["black"])
    broken[0, 0, 0, 1] = torch.nan
    assert not coherent(broken, "black").any()


def test_what_has_no_colour():
    with pytest.raises(ValueError, match="no colour 'grey'; there are: white, yellow"):
        caption("grey")
    with pytest.raises(ValueError, match="1 channels have no colours"):
        coherent(torch.zeros(1, 1, 2, 2), "red")
