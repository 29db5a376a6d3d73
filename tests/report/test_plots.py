import json

import pytest

from raysim.report.plots import band, learning_curves, read_curve


def test_a_curve_is_read_where_it_is_defined(tmp_path):
    records = [{"round": 1}, {"round": 2, "validation": {"uar": 0.5}}, {"round": 3, "validation": {"uar": None}}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert read_curve(tmp_path / "m.jsonl", "validation", "uar") == {2: 0.5}


def test_a_band_holds_the_rounds_that_all_seeds_have():
    rounds, means, deviations = band([{1: 0.0, 2: 1.0, 3: 5.0}, {1: 1.0, 2: 2.0}])
    assert (rounds, means) == ([1, 2], [0.5, 1.5])
    assert deviations == pytest.approx([0.7071068, 0.7071068])
    assert band([{1: 0.5}]) == ([1], [0.5], [0.0])


def test_many_arms_with_odd_names_are_drawn(tmp_path):
    names = ["$x", "_hidden", "a|b", "ä", "e", "f", "g", "h", "i"]
    points = {(("arm", n),): [{1: i / 10, 2: i / 8}] for i, n in enumerate(names)}
    learning_curves(points, "many $arms", "validation uar", tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
