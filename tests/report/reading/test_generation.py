"""Means of hand-made figures, worked out by hand."""

import math

import pytest

from raysim.report.reading.generation import (
    Subject,
    by_given,
    conditional,
    heading,
    headline,
    means,
    modalities,
    numbers,
    ordered,
)

FIGURES = {
    "a>a": {"coherence": 1.0, "frechet": 2.0},
    "a>b": {"coherence": 0.5, "frechet": 8.0, "top1": 0.25, "top1_unmapped": 0.125},
    "a>c": {"coherence": 0.25},
    "b>a": {"coherence": 0.75, "frechet": 4.0},
    "c>a": {"coherence": 0.25},
    "b>b": {"coherence": 0.875, "frechet": 4.0},
    "a+b>c": {"coherence": 0.5},
    "c+b>a": {"coherence": 1.0},
    "a+b>a": {"coherence": 0.0},
    ">a": {"frechet": 1.0},
    ">b": {"frechet": 2.0},
    ">": {"coherence": 0.0625},
    "all": {"bound": -12.5},
}


@pytest.mark.parametrize(
    ("text", "given", "target"),
    [
        ("m0>m1", {"m0"}, "m1"),
        ("m0+m2>m1", {"m0", "m2"}, "m1"),
        (">m1", set(), "m1"),
        (">", set(), ""),
        ("x>y>z", {"x>y"}, "z"),
        ("猫 $a|b>ä/ö", {"猫 $a|b"}, "ä/ö"),
    ],
)
def test_a_subject_is_split_at_the_last_arrow(text, given, target):
    assert Subject.of(text) == (given, target)


def test_what_has_no_arrow_is_of_no_pair():
    assert Subject.of("all") is None


def test_the_conditional_mean_is_over_targets_of_the_mean_over_sources():
    # a from b and c: 0.5; b from a: 0.5; c from a: 0.25. The mean over the four pairs would be 0.4375.
    assert conditional(FIGURES, "coherence") == pytest.approx((0.5 + 0.5 + 0.25) / 3)


def test_self_pairs_count_for_distances():
    assert conditional(FIGURES, "frechet") == ((2.0 + 4.0) / 2 + (8.0 + 4.0) / 2) / 2


def test_by_number_given_is_over_subsets_of_the_mean_over_targets_outside():
    # from a: 0.375, b: 0.75, c: 0.25; from ab: 0.5 (what was given does not count), bc: 1
    assert by_given(FIGURES, "coherence") == {1: pytest.approx((0.375 + 0.75 + 0.25) / 3), 2: 0.75}


def test_all_means():
    assert means(FIGURES) == {
        "bound": -12.5,
        "coherence": pytest.approx(1.25 / 3),
        "coherence from 2": 0.75,
        "coherence self": 0.9375,
        "coherence joint": 0.0625,
        "frechet": 4.5,
        "frechet self": 3.0,
        "frechet prior": 1.5,
        "top1": 0.25,
        "top1_unmapped": 0.125,
    }


def test_one_modality_has_no_conditional_mean():
    figures = {"a>a": {"coherence": 0.5, "fid": 3.0}, ">a": {"fid": 1.0}, ">": {"coherence": 0.25}}
    assert means(figures) == {
        "coherence self": 0.5, "coherence joint": 0.25, "fid": 3.0, "fid self": 3.0, "fid prior": 1.0,
    }  # fmt: skip
    assert conditional(figures, "coherence") is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_mean_with_an_undefined_part_is_undefined(value):
    figures = {"a>b": {"coherence": 0.5}, "b>a": {"coherence": value}}
    assert numbers(figures, "coherence") == {(frozenset("a"), "b"): 0.5, (frozenset("b"), "a"): None}
    assert means(figures) == {"coherence": None}
    assert headline(figures) is None


def test_nothing_measured_is_nothing():
    assert means({}) == {}
    assert headline({}) is None


def test_one_figure_stands_for_all():
    assert headline(FIGURES) == ("coherence", pytest.approx(1.25 / 3))
    assert headline({"a>b": {"frechet": 3.0, "uar": 0.5}}) == ("uar", 0.5)
    assert headline({"a>a": {"coherence": 1.0, "frechet": 2.0}}) == ("frechet", 2.0)
    assert headline({">a": {"frechet": 1.0}, ">b": {"frechet": 2.0}}) == ("frechet prior", 1.5)


def test_modalities_in_order():
    assert modalities(FIGURES) == ["a", "b", "c"]
    assert modalities({">z": {}, "all": {}, "y+x>w": {}}) == []


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("coherence", "coherence"),
        ("coherence from 2", "coherence, 2 given"),
        ("frechet prior", "Fréchet, prior"),
        ("top1_unmapped", "top-1, unmapped"),
        ("colour self", "colour, self"),
    ],
)
def test_headings(key, name):
    assert heading(key) == name


def test_columns_are_in_the_order_of_the_known_figures():
    keys = ["bound", "colour", "top1_unmapped", "top5", "top1", "fid prior", "fid", "coherence joint", "top1"]
    assert ordered(keys) == [
        "coherence joint", "fid prior", "fid", "top1", "top1_unmapped", "top5", "bound", "colour",
    ]  # fmt: skip
