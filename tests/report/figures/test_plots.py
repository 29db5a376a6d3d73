import json

import numpy as np
import pytest
from matplotlib.image import imread

from raysim.report.figures.counts import class_counts
from raysim.report.figures.features import feature_maps
from raysim.report.figures.plots import band, learning_curves, read_curve


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


def test_more_arms_than_colours_get_a_panel_each(tmp_path):
    curves = {(("arm", f"arm {i}"),): [{1: i / 10, 2: i / 8, 3: i / 7}] for i in range(8)}
    learning_curves(dict(list(curves.items())[:7]), "seven", "uar", tmp_path / "seven.png")
    learning_curves(curves, "eight", "uar", tmp_path / "eight.png")
    seven, eight = (greys(tmp_path / f"{name}.png") for name in ("seven", "eight"))
    assert seven < 100  # where lines end softly
    assert eight > 1000  # the others, behind each


def greys(path):
    """How many pixels have the colour of what stands behind."""
    return int((np.abs(pixels(path) - 0.82) < 0.004).all(-1).sum())


def pixels(path):
    """(height, width, 3) of a picture, 0 to 1."""
    return imread(path)[..., :3]


def orange(picture):
    """How many pixels have the colour of what is filled in."""
    red, green, blue = (picture[..., i] for i in range(3))
    return int(((red > 0.8) & (green < 0.5) & (blue < 0.2)).sum())


def test_real_and_filled_in_embeddings_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    real = rng.standard_normal((40, 8))
    arrays = {"$a": real, "$a.filled": real + 9, "labels": np.zeros(40)}
    feature_maps(arrays, "a very long title, " * 9, tmp_path / "p.png")
    assert orange(pixels(tmp_path / "p.png")) > 300
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
    again = tmp_path / "q.png"
    feature_maps(arrays, "a very long title, " * 9, again)
    assert again.read_bytes() == (tmp_path / "p.png").read_bytes()


def test_classes_have_colours_where_they_are_few(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_xlabel", lambda self, text, **_: said.append(text))
    rng = np.random.default_rng(0)
    real = rng.standard_normal((40, 8))
    arrays = {"a": real, "a.filled": real + 9}
    shades = {}
    for name, labels in (
        ("none", None),
        ("two", np.arange(40) % 2),
        ("many", np.arange(40) % 21),
        ("sets", np.eye(40)),
    ):
        feature_maps(arrays | ({} if labels is None else {"labels": labels}), "t", tmp_path / f"{name}.png", ["x", "y"])
        shades[name] = orange(pixels(tmp_path / f"{name}.png"))
    assert set(said) == {"t-SNE, perplexity 26.3"}
    assert shades["two"] == 0  # black and a lighter orange
    assert shades["none"] == shades["many"] == shades["sets"] > 300


def test_rows_that_the_data_lacks_are_not_drawn(tmp_path):
    rng = np.random.default_rng(0)
    real = np.where(np.arange(40)[:, None] < 20, rng.standard_normal((40, 8)), 0.0)
    filled = rng.standard_normal((40, 8))
    half = {"a": real, "a.filled": filled}
    feature_maps(half, "t", tmp_path / "half.png")
    feature_maps({n: v[:20] for n, v in half.items()}, "t", tmp_path / "there.png")
    assert (tmp_path / "half.png").read_bytes() == (tmp_path / "there.png").read_bytes()


def test_equal_embeddings_lie_at_one_place(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr("matplotlib.axes.Axes.scatter", lambda self, x, y, label, **_: drawn.setdefault(label, (x, y)))
    real = np.random.default_rng(0).standard_normal((60, 8))
    real[1] = real[0]
    feature_maps({"a": real, "a.filled": np.zeros((60, 8))}, "t", tmp_path / "p.png")
    assert len(np.unique(drawn["filled in"], axis=1).T) == 1
    assert len(np.unique(drawn["real"], axis=1).T) == 59


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_few_or_equal_embeddings_are_drawn_too(tmp_path, count, width):
    arrays = {"a": np.ones((count, width)), "a.filled": np.zeros((count, width)), "b": np.ones((count, width)),
              "b.filled": np.ones((count, width))}  # fmt: skip
    feature_maps(arrays, "t", tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 3_000


def test_no_embeddings_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no embeddings"):
        feature_maps({"labels": np.zeros(3)}, "t", tmp_path / "p.png")


def test_the_most_samples_are_the_darkest_cell(tmp_path):
    counts = np.zeros((40, 40), dtype=int)
    counts[:20, :20] = 9  # the first clients and classes: left and, as in a table, above
    class_counts([str(i) for i in range(40)], [f"$class {i}" for i in range(40)], counts, "t", tmp_path / "p.png")
    picture = pixels(tmp_path / "p.png")
    height, width = picture.shape[:2]
    dark = picture.max(-1) < 0.2
    above, below = (
        dark[: height // 2, width // 8 : width // 3],
        dark[height // 2 : 7 * height // 8, width // 8 : width // 3],
    )
    assert above.mean() > 0.8
    assert below.mean() < 0.1


def test_modalities_stand_below_the_classes(tmp_path):
    counts = np.zeros((40, 2), dtype=int)
    class_counts(list(map(str, range(40))), ["x", "y"], counts, "t", tmp_path / "p.png", {"a": [9] * 40, "b": [0] * 40})
    dark = pixels(tmp_path / "p.png").max(-1) < 0.2
    height, width = dark.shape
    rows = dark[:, width // 4 : width // 2].mean(1) > 0.9
    assert rows[: height // 2].sum() <= 4  # the frame
    assert rows[height // 2 :].sum() > 20


@pytest.mark.parametrize("name", ["方法一", "Ⓐ", "a\tb", "\ue000", "한국", "हिन्दी", "😀", "x" * 300])
def test_any_script_is_drawn_without_a_word(tmp_path, name, capfd, caplog):
    learning_curves({(("arm", name),): [{1: 0.5}]}, name, "uar", tmp_path / "curves.png")
    feature_maps({name: np.eye(6), f"{name}.filled": np.eye(6)}, name, tmp_path / "features.png")
    class_counts(["0", name], [name, "b"], np.eye(2, dtype=int), name, tmp_path / "counts.png")
    assert len(list(tmp_path.iterdir())) == 3
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")
