import io

import numpy as np
import pytest
from PIL import Image

from raysim.data.extraction import Work
from raysim.data.ragged import Pictures
from raysim.data.recipe import itself


def decoded(extractor, pictures):
    """What the dataset has of them: (N, C, H, W)."""
    part = Work(extractor, itself)(pictures)
    ends = np.cumsum(part.lengths)
    assert (part.values.dtype, part.values.ndim, part.single) == (np.uint8, 1, False)
    return Pictures(part.values, np.stack([ends - part.lengths, ends], axis=1)).decoded()


@pytest.mark.parametrize(("file", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff")])
def test_files_of_one_size(make, pictures, file, magic):
    extractor = make("raw", format=file, size=32)
    files = extractor.extract(pictures)
    assert [f.tobytes()[: len(magic)] for f in files] == [magic] * 5
    assert len({f.tobytes() for f in files}) == 5
    assert [extractor.extract([p])[0].tobytes() for p in pictures] == [f.tobytes() for f in files]
    assert decoded(extractor, pictures).shape == (5, 3, 32, 32)
    assert decoded(make("raw", format=file, size=32, color="grey"), pictures).shape == (5, 1, 32, 32)


def test_png_loses_nothing(make, pictures):
    picture = pictures[2]
    found = decoded(make("raw", format="png", size=64), [picture, picture.rotate(90)])
    assert np.array_equal(found[0], np.asarray(picture).transpose(2, 0, 1))
    assert np.array_equal(found[1], np.asarray(picture.rotate(90)).transpose(2, 0, 1))


def test_a_wide_picture_is_squashed_or_cut(make):
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :10] = (200, 100, 50)
    wide = Image.fromarray(wide)
    squashed, cut = (decoded(make("raw", format="png", size=20, squash=s), [wide])[0] for s in (True, False))
    assert squashed[:, 10, 0].tolist() == [200, 100, 50]
    assert (squashed[:, :, :4] > 0).all()
    assert not squashed[:, :, 7:].any()
    assert not cut.any()


def test_grey_weighs_the_colours(make):
    red = Image.new("RGB", (3, 3), (200, 100, 50))
    assert decoded(make("raw", format="png", size=2, color="grey"), [red]).tolist() == [[[[124, 124], [124, 124]]]]


def test_the_defaults_are_jpeg_of_224_pixels(make):
    ramp = Image.fromarray(np.add.outer(np.arange(100), np.arange(120)).astype(np.uint8))
    file = make("raw").extract([ramp])[0]
    with Image.open(io.BytesIO(file.tobytes())) as found:
        assert (found.format, found.mode, found.size) == ("JPEG", "RGB", (224, 224))
        exact = np.asarray(ramp.resize((224, 224), Image.Resampling.BILINEAR), dtype=int)
        assert np.abs(np.asarray(found)[..., 0] - exact).max() <= 3
    assert len(make("raw", quality=10).extract([ramp])[0]) < len(file)


def test_profiles_and_comments_are_left_out(make):
    plain = Image.new("RGB", (8, 8))
    noted = plain.copy()
    noted.info |= {"icc_profile": b"profile", "comment": b"name of a patient", "dpi": (300, 300)}
    for file in ("png", "jpeg"):
        extractor = make("raw", format=file, size=8)
        assert extractor.extract([noted])[0].tobytes() == extractor.extract([plain])[0].tobytes()
