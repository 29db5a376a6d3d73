"""The hand-made pictures: numbers, places, and what stands in them."""

import math
import re
from xml.etree import ElementTree

import pytest
from pages import ODD, odd_study
from studies import grid_study

from raysim.report.figures.differences import differences
from raysim.report.figures.looks import look
from raysim.report.figures.material import Material
from raysim.report.figures.shown import Bar, Bars, Lines, Pane, Series, Strip, Strips, Subsets
from raysim.report.figures.svg.bars import bars_svg
from raysim.report.figures.svg.cells import cells_svg
from raysim.report.figures.svg.element import Scale, cut, dashes, element, short, text
from raysim.report.figures.svg.lines import lines_svg
from raysim.report.figures.svg.strips import piled, strips_svg
from raysim.report.figures.svg.subsets import subsets_svg
from raysim.report.reading.folders import read
from raysim.report.reading.pairs import compared
from raysim.report.reading.partitions import Partition

NS = {"s": "http://www.w3.org/2000/svg"}


def parsed(svg):
    return ElementTree.fromstring(svg)


def words(svg):
    return [node.text for node in parsed(svg).iter("text")]


def series(name, place, x, y):
    return Series(name, place, x, y, y, y)


def test_elements_are_escaped():
    assert (
        element("g", "<b/>", class_="a", data_x='"<', width=1.25, none=None)
        == '<g class="a" data-x="&quot;&lt;" width="1.2"><b/></g>'
    )
    assert text(1, 2, "<&", anchor="end") == '<text x="1" y="2" text-anchor="end">&lt;&amp;</text>'
    assert (short(-0.04), short(2.0), short(2.55)) == ("0", "2", "2.5")
    assert cut("a" * 30, 58) == "a" * 9 + "…"


@pytest.mark.parametrize(
    ("low", "high", "settings", "labels"),
    [
        (0, 1, {}, ["0.0", "0.5", "1.0"]),
        (0.42, 0.47, {}, ["0.42", "0.44", "0.46"]),
        (1, 3, {"whole": True}, ["1", "2", "3"]),
        (0, 0, {}, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        (1e3, 1e9, {"log": True, "bytes": True}, ["1.0 kB", "100.0 kB", "10.0 MB", "1.0 GB"]),
        (2e6, 3e6, {"log": True, "bytes": True}, ["2.0 MB"]),
    ],
)
def test_ticks_are_round_numbers(low, high, settings, labels):
    scale = Scale(low, high, 0, 100, **settings)
    assert scale.labels == labels
    assert all(0 <= scale(tick) <= 100 for tick in scale.ticks)


def test_a_scale_leaves_room_at_both_ends():
    scale = Scale(0, 10, 0, 110, room=0.05)
    assert (scale(0), scale(10)) == (5, 105)
    log = Scale(1, 100, 0, 120, log=True, room=0.1)
    assert (log(1), log(10), log(100)) == pytest.approx((10, 60, 110))


def test_no_two_arms_look_alike():
    looks = [look(i) for i in range(280)]
    assert len(set(looks)) == 280
    assert len({(chosen.colour, dashes(i)) for i, chosen in enumerate(looks[:35])}) == 35


def test_curves_lie_where_their_figures_are():
    pane = Pane("p", (series("one", 0, (1, 2), (0.0, 1.0)), series(ODD, 1, (1, 2), (1.0, 1.0))))
    (svg,) = lines_svg(Lines("t", "round", "uar", (pane,), whole=True))
    lines = re.findall(r'class="line" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    (x1, y1, x2, y2), (_, top, _, end) = [tuple(map(float, line)) for line in lines]
    assert x1 < x2
    assert (y1 > y2, y2, top) == (True, top, end)
    assert ODD in {node.text for node in parsed(svg).iter("title")}
    assert "<script" not in svg


def test_points_of_a_cloud_have_names_and_whiskers():
    one = Series("zero", 0, (1e6,), (0.5,), (0.4,), (0.6,))
    (svg,) = lines_svg(Lines("t", "sent", "uar", (Pane("", (one, series("fin", 1, (2e6,), (0.6,)))),), bytes=True))
    assert {"zero", "fin", "sent", "uar"} <= set(words(svg))
    assert svg.count('class="line"') == 1


def test_the_worst_are_open_dots():
    strip = Strip("zero", 2, tuple(i / 20 for i in range(20)), 2, 0.475)
    (svg,) = strips_svg([Strips("", "uar at a client", (strip,))])
    parts = {class_: d.count("M") for class_, d in re.findall(r'class="(dots[ a-z]*)" d="([^"]*)"', svg)}
    assert parts == {"dots": 18, "dots worst": 2}


def test_many_clients_are_thinned_evenly():
    strip = Strip("zero", 0, tuple(i / 3000 for i in range(3000)), 300, 0.5)
    (svg,) = strips_svg([Strips("", "uar", (strip,))])
    parts = {class_: d.count("M") for class_, d in re.findall(r'class="(dots[ a-z]*)" d="([^"]*)"', svg)}
    assert parts == {"dots": 270, "dots worst": 30}


def test_dots_that_would_cover_each_other_are_piled():
    assert piled([10, 10, 10, 30]) == [(10, 0), (10, -5.2), (10, 5.2), (30, 0)]


def test_subsets_are_dots_joined_by_a_line():
    sets = tuple(map(frozenset, ("a", "ac")))
    arms = (("zero", 0, (0.25, None)), ("fin", 1, (0.5, 0.75)))
    (svg,) = subsets_svg([Subsets("", "test uar", ("a", "b", "c"), sets, arms)])
    assert (svg.count('class="given"'), svg.count('class="absent"'), svg.count('class="mark"')) == (3, 3, 3)
    assert [node.text for node in parsed(svg).iter("title")] == ["a", "a + c"]


def test_bars_begin_at_zero():
    pair = Bar("fin", 1, 0.25, None, 1), Bar("gan", 2, -0.5, (-0.625, -0.25), 2)
    (svg,) = bars_svg(Bars("Differences to zero", "less", (("", pair),)))
    found = re.findall(r'class="bar" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
    (x1, w1), (x2, w2) = [tuple(map(float, bar)) for bar in found]
    assert x2 + w2 == pytest.approx(x1, abs=0.15)
    assert w2 == pytest.approx(2 * w1, abs=0.15)
    assert {"+0.250", "-0.500"} <= set(words(svg))
    assert svg.count('class="whisker"') == 1


def test_no_line_runs_through_the_name_of_a_bar():
    (svg,) = bars_svg(
        Bars("Differences", "less", (("", (Bar("fin", 0, 0.25, None, 1), Bar("gan", 1, -0.5, None, 1))),))
    )
    names = [float(node.attrib["y"]) for node in parsed(svg).iter("text") if node.text in ("fin", "gan")]
    spans = [tuple(map(float, span)) for span in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", svg)]
    assert len(names) == 2
    assert spans
    assert not any(low < y < high or low < y - 8 < high for low, high in spans for y in names)


def test_cells_are_shaded_by_the_most_of_their_block():
    partition = Partition((("s", "t"),), "seed 1", ("0", "1"), ("cat", ODD), ((9, 0), (5, 1)), {"x": (90, 90)})
    svg = cells_svg(partition)
    assert re.findall(r'class="(shade\d)"', svg) == ["shade1", "shade5", "shade9", "shade9"]
    assert {"9", "5", "1", "90", "cat", "x", "seed 1", "client"} <= set(words(svg))
    assert "h52.0" in svg  # both clients of x in one piece


def test_many_cells_stay_small():
    counts = tuple(tuple((i * j) % 7 for j in range(60)) for i in range(500))
    partition = Partition((), "seed 1", tuple(map(str, range(500))), tuple(map(str, range(60))), counts, {})
    assert len(cells_svg(partition)) < 1_000_000


def test_what_a_study_shows_is_well_formed(tmp_path):
    odd = Material(read([odd_study(tmp_path / "odd")]), "study")
    grid = Material(read([grid_study(tmp_path / "grid")]), "study")
    several = [
        *lines_svg(odd.learning()), *lines_svg(odd.traffic()), *strips_svg(odd.clients()), *subsets_svg(odd.subsets()),
        *bars_svg(differences(compared(odd.study, "study", "test"), {})), *lines_svg(grid.rates()),
        *bars_svg(differences(compared(grid.study, "study", "test"), {})),
    ]  # fmt: skip
    assert len(several) == 9
    for svg in several:
        width, height = map(float, parsed(svg).attrib["viewBox"].split()[2:])
        assert 0 < width < 700
        assert math.isfinite(height)
        assert not re.search(r"\b(nan|inf)\b", svg)


def test_a_long_name_of_a_partition_is_broken_into_lines_and_keeps_its_seed():
    name = "missing.rate=0.3 method=zero_fill/feature_imputation, seed 12"
    svg = cells_svg(Partition((), name, ("site0",), ("a",), ((3,),), {}))
    titles = [node.text for node in parsed(svg).iter("text") if node.attrib.get("class") == "title"]
    assert len(titles) > 1
    assert titles[-1].endswith("seed 12")
    assert "".join(titles).replace(" ", "") == name.replace(" ", "")
