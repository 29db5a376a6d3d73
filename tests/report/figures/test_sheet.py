import numpy as np
import pytest
from generation import flat
from PIL import Image

from raysim.report.figures.sheet import GAP, Look, Sheet, extent, pitch, tile_of, wrapped

LOOK = Look(picture=40, caption=200, letters=6.0)


def saved(sheet, path):
    sheet.save(path)
    with Image.open(path) as picture:
        assert picture.size == (sheet.width, sheet.height)
        return np.asarray(picture)


def inked(pixels):
    """(top, bottom, left, right) of what is not white."""
    rows, columns = np.nonzero((pixels < 250).any(-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), (40, 40)), ((28, 28), (56, 56)), ((7, 28), (14, 56)), ((64, 64), (64, 64)), ((224, 112), (75, 38))],
)
def test_pictures_are_enlarged_by_whole_numbers_or_made_smaller(size, shown):
    assert tile_of(flat(9, 1, *size), LOOK) == shown


def test_every_pixel_of_a_small_picture_is_a_square(tmp_path):
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    sheet = Sheet(60, 50)
    sheet.put(10, 5, picture, (40, 40), LOOK)
    pixels = saved(sheet, tmp_path / "p.png")
    assert (pixels[5:45, 10:50] == picture.repeat(5, 0).repeat(5, 1)).all()
    assert (pixels[:, :10] == 255).all()
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


def test_a_large_picture_keeps_its_mean(tmp_path):
    picture = np.where(np.indices((224, 224, 1)).sum(0) % 2, 255, 0).astype(np.uint8)
    sheet = Sheet(75, 75)
    sheet.put(0, 0, picture, (75, 75), LOOK)
    assert abs(saved(sheet, tmp_path / "p.png")[5:70, 5:70].mean() - 127.5) < 2


def test_a_smaller_picture_stands_in_the_middle_of_its_tile(tmp_path):
    sheet = Sheet(100, 80)
    sheet.put(10, 0, flat((0, 0, 255), 1)[0], (80, 60), LOOK)
    assert inked(saved(sheet, tmp_path / "p.png")) == (22, 57, 22, 57)


def test_captions_are_wrapped_into_their_tiles(tmp_path):
    captions = np.array(["a bird with a very long beak that is yellow all over, and black feet " * 3])
    height, width = tile_of(captions, LOOK)
    assert width == 200
    sheet = Sheet(400, height + 100)
    sheet.put(100, 50, captions[0], (height, width), LOOK)
    top, bottom, left, right = inked(saved(sheet, tmp_path / "p.png"))
    assert top >= 50
    assert bottom < 50 + height
    assert left >= 100
    assert right < 300 - GAP
    assert bottom - top > 4 * pitch(LOOK.letters)


@pytest.mark.parametrize("text", ["w" * 40, "i" * 40, "one two three four", "$x$ _y_ \\", "ä€Ⓐ", "\ue000\ue001"])
def test_lines_are_as_wide_as_they_are_drawn(tmp_path, text):
    lines = wrapped(text, 150, 8.0, 9)
    sheet = Sheet(400, 500)
    sheet.text(20, 20, lines, 8.0)
    _, _, left, right = inked(saved(sheet, tmp_path / "p.png"))
    widest = max(extent(line, 8.0) for line in lines)
    assert widest <= 150
    assert right - left == pytest.approx(widest, rel=0.1)  # letters are hinted


def test_words_stay_whole_where_they_fit():
    width = extent("four five", 8.0)
    assert wrapped("four five six", width, 8.0, 3) == ["four five", "six"]
    assert wrapped("fourfivesix", extent("four", 8.0) + 1, 8.0, 9)[0] == "four"
    assert wrapped("four five six seven", extent("fivex", 8.0), 8.0, 2) == ["four", "fiv…"]
    assert wrapped("", 100, 8.0, 3) == []
