import json

import pytest
from generation import figures
from matplotlib.image import imread

from raysim.report.figures import generation as generation_plots
from raysim.report.figures.generation import coherence_by_given, quality_by_round, read_measured

X, Y = (("arm", "x"),), (("arm", "y"),)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: for each panel its axis and its curves."""
    found = []

    def curves(panels, title, horizontal, path):
        found.append((title, horizontal, {p.axis: p.points for p in panels}))

    monkeypatch.setattr(generation_plots, "curves", curves)
    return found


def by_given(one, two):
    """Three modalities; the same coherence wherever as many are given."""
    pairs = {f"{s}>{t}": {"coherence": one} for s in "abc" for t in "abc" if s != t}
    return pairs | {f"{s}>{t}": {"coherence": two} for s, t in (("a+b", "c"), ("a+c", "b"), ("b+c", "a"))}


def test_measured_rounds_are_read(tmp_path):
    records = [{"round": 1}, {"round": 2, "generation": figures(0.5)}, {"round": 3, "generation": {}}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert read_measured(tmp_path / "m.jsonl") == {2: figures(0.5)}


def test_a_panel_a_figure_and_a_curve_a_seed(tmp_path, drawn):
    trials = {X: [{2: figures(0.5), 4: figures(0.75)}, {2: figures(0.25), 4: figures(0.5)}], Y: [{2: figures(0.125)}]}
    assert quality_by_round(trials, "s", tmp_path / "p.png")
    ((title, horizontal, panels),) = drawn
    assert (title, horizontal) == ("s: generation by round", "round")
    assert panels == {
        "coherence": {X: [{2: 0.5, 4: 0.75}, {2: 0.25, 4: 0.5}], Y: [{2: 0.125}]},
        "Fréchet": {X: [{2: 2.75, 4: 1.5}, {2: 4.0, 4: 2.75}], Y: [{2: 4.625}]},
    }


def test_an_arm_of_which_a_seed_was_not_measured_is_left_out(tmp_path, drawn):
    whole = {2: figures(0.5), 4: figures(0.5)}
    without = {r: {"a>b": {"fid": 9.0}} for r in (2, 4)}
    assert quality_by_round({X: [whole, without], Y: [without, without]}, "s", tmp_path / "p.png")
    assert drawn[0][2] == {"FID": {Y: [{2: 9.0, 4: 9.0}] * 2}}


def test_a_generator_that_is_given_nothing_has_its_distances(tmp_path, drawn):
    rounds = {r: {">a": {"frechet": float(r)}, ">b": {"frechet": 3.0 * r}} for r in (2, 4)}
    assert quality_by_round({X: [rounds]}, "s", tmp_path / "p.png")
    assert drawn[0][2] == {"Fréchet, prior": {X: [{2: 4.0, 4: 8.0}]}}


def test_one_round_is_no_curve(tmp_path, drawn):
    assert not quality_by_round({X: [{2: figures(0.5)}]}, "s", tmp_path / "p.png")
    assert not quality_by_round({}, "s", tmp_path / "p.png")
    assert drawn == []


def test_coherence_against_how_many_are_given(tmp_path, drawn):
    trials = {X: [by_given(0.5, 0.75), by_given(0.25, 0.5)], Y: [figures(0.5)]}
    assert coherence_by_given(trials, "s", tmp_path / "p.png")
    ((_, horizontal, panels),) = drawn
    assert horizontal == "modalities given"
    assert list(panels.values()) == [{X: [{1: 0.5, 2: 0.75}, {1: 0.25, 2: 0.5}], Y: [{1: 0.5}]}]
    assert not coherence_by_given({Y: [figures(0.5)]}, "s", tmp_path / "p.png")


def test_both_are_pictures(tmp_path):
    trials = {X: [{2: figures(0.5, fid=9.0), 4: figures(0.75, fid=5.0)}], Y: [{2: figures(0.25), 4: figures(0.5)}]}
    assert quality_by_round(trials, "$s", tmp_path / "a.png")
    assert coherence_by_given({X: [by_given(0.5, 0.75)]}, "s", tmp_path / "b.png")
    sizes = [imread(tmp_path / name).shape[:2] for name in ("a.png", "b.png")]
    assert sizes == [(450, 1650), (450, 700)]
