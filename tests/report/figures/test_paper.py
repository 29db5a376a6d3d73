import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from pages import losses_alone, many_trials, odd_study
from studies import failed, grid_study, write_study

from raysim.report.figures.paper import UnknownFormat, _draw_strip, formats_of, save_figures
from raysim.report.figures.shown import Strip
from raysim.report.reading.folders import read

NAMES = ("learning_curves", "traffic", "clients", "subsets")


def inches(pdf):
    """(width, height) of a page of 72 points an inch."""
    left, low, right, high = map(float, re.search(rb"/MediaBox \[([^\]]*)\]", pdf.read_bytes())[1].split())
    return (right - left) / 72, (high - low) / 72


def test_what_there_is_is_drawn_at_two_widths_with_letters_of_a_font(tmp_path):
    found = save_figures(read([odd_study(tmp_path / "out")]), tmp_path / "figures", ["pdf"])
    assert [path.name for path in found] == [f"study-{n}-{w}.pdf" for n in NAMES for w in ("column", "page")]
    for path in found:
        assert inches(path)[0] == pytest.approx(3.3 if "column" in path.name else 7, abs=0.01)
        assert b"/FontFile2" in path.read_bytes()  # TrueType, which editors open and publishers take
        assert b"/Type3" not in path.read_bytes()


def test_the_same_study_gives_the_same_bytes(tmp_path):
    study = read([grid_study(tmp_path / "out")])
    one = save_figures(study, tmp_path / "one", ["svg", "pdf", "png"])
    two = save_figures(study, tmp_path / "two", ["svg", "pdf", "png"])
    assert [p.name for p in one if "column" in p.name] == [
        f"study-{name}-column.{end}" for name in ("by_rate", "traffic") for end in ("svg", "pdf", "png")
    ]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    svg = next(p for p in one if p.suffix == ".svg")
    assert ElementTree.fromstring(svg.read_bytes()).attrib["width"] == "237.6pt"
    assert imread(next(p for p in one if p.name == "study-traffic-page.png")).shape[1] == 2100


def test_more_arms_than_colours_make_a_higher_picture(tmp_path):
    few = read([many_trials(tmp_path / "few", methods=3, rates=(0.5,), seeds=(1,))])
    many = read([many_trials(tmp_path / "many", methods=9, rates=(0.5,), seeds=(1,))])
    heights = []
    for name, study in (("a", few), ("b", many)):
        paths = save_figures(study, tmp_path / name, ["pdf"])
        heights.append(next(inches(p)[1] for p in paths if p.name == "study-learning_curves-page.pdf"))
    assert heights[1] > 2 * heights[0]


def test_a_method_without_scores_and_a_study_without_trials(tmp_path):
    found = save_figures(read([losses_alone(tmp_path / "losses")]), tmp_path / "a", ["svg"])
    assert [path.name for path in found] == ["losses-learning_curves-column.svg", "losses-learning_curves-page.svg"]
    none = read([write_study(tmp_path / "failed", [failed("fin", 1)], planned=1)])
    assert save_figures(none, tmp_path / "b", ["svg"]) == []


def test_formats_are_named():
    assert formats_of("svg, pdf,svg") == ("svg", "pdf")
    with pytest.raises(UnknownFormat, match=r"^--figure-format: there is no 'jpg'; there are: pdf, svg, png$"):
        formats_of("pdf,jpg")


def test_names_of_arms_begin_at_the_left_edge_whatever_the_scores():
    figure, strip = Figure(), Strip("fin", 0, (0.7, 0.9), 1, 0.8)
    axes = figure.subplots()
    axes.set_xlim(0.0, 1.0)
    _draw_strip(axes, strip, 0, (0.7, 0.2), 3.3)
    figure.draw_without_rendering()
    (name,) = [text for text in axes.texts if text.get_text() == "fin"]
    assert name.get_window_extent().x0 == pytest.approx(axes.get_window_extent().x0, abs=2)
