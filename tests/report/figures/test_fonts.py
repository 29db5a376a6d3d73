"""Fonts are found by what they hold."""

import matplotlib
import pytest

from raysim.report.figures import fonts
from raysim.report.figures.fonts import Characters, cover, drawable


@pytest.fixture(autouse=True)
def family():
    """What others draw with stays as it is."""
    before = matplotlib.rcParams["font.family"]
    yield
    matplotlib.rcParams["font.family"] = before


def test_a_font_is_added_where_it_has_what_the_first_one_lacks():
    cover(["plain", "ä €"])
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]
    cover(["plain", "Ⓐ"])
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "STIXGeneral"]
    assert drawable("aⒶ") == "aⒶ"


def test_what_no_font_has_is_escaped(monkeypatch):
    monkeypatch.setattr(fonts, "_family", lambda c: "" if c == "猫" else "DejaVu Sans")
    assert drawable("猫 b\n\u200b") == r"\u732b b\n\u200b"
    cover(["猫"])
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]


def test_a_font_that_cannot_be_read_has_nothing(tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"none")
    assert 97 not in Characters(str(tmp_path / "a.ttf"))
    assert 97 not in Characters(str(tmp_path / "gone.ttf"))
