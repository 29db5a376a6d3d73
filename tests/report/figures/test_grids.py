import os

import numpy as np
import pytest
from generation import flat, pictures
from PIL import Image

from raysim.report.figures.grids import draw_grids, draw_overview, draw_pair, due, pairs
from raysim.report.files import packed

RED, MADE, GREY, DARK = (255, 0, 0), (60, 0, 0), (128,) * 3, (30,) * 3


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def tiles(found, colour):
    """Left edges and top edges of the tiles that have a colour; letters have it in single pixels."""
    there = (found == colour).all(-1)
    starts = there & ~np.pad(there, ((0, 0), (1, 0)))[:, :-1] & ~np.pad(there, ((1, 0), (0, 0)))[:-1]
    return [(int(x), int(y)) for y, x in np.argwhere(starts) if there[y : y + 9, x : x + 9].all()]


def draw(tmp_path, arrays, title="t"):
    (tmp_path / "generation.npz").write_bytes(packed(arrays))
    draw_grids(tmp_path / "generation.npz", title, tmp_path / "generation" / "overview.png")
    return {p.name for p in (tmp_path / "generation").iterdir()}


def test_a_picture_for_each_pair_and_one_of_all(tmp_path):
    names = draw(tmp_path, pictures(round=np.array(7)))
    assert names == {f"{s}_to_{t}.png" for s in "ab" for t in "ab"} | {"overview.png"}


def test_a_pair_has_a_line_a_sample_what_was_given_on_the_left(tmp_path):
    draw_pair(pictures(3), "a", "b", tmp_path / "p.png")
    found = pixels(tmp_path / "p.png")
    left, right = tiles(found, RED), tiles(found, DARK)
    assert len(left) == len(right) == 3
    assert len({x for x, _ in left}) == len({x for x, _ in right}) == 1
    assert left[0][0] < right[0][0]
    assert [y for _, y in left] == [y for _, y in right]
    assert len(tiles(found, MADE)) == len(tiles(found, GREY)) == 0


def test_what_is_made_of_nothing_alone_has_an_overview(tmp_path):
    arrays = {name: value for name, value in pictures(3).items() if name.startswith(("real/", "prior/"))}
    assert draw(tmp_path, arrays) == {"overview.png"}
    found = pixels(tmp_path / "generation" / "overview.png")
    assert (len(tiles(found, RED)), len(tiles(found, MADE))) == (3, 3)


def test_many_samples_stand_in_even_blocks(tmp_path):
    draw_pair(pictures(12), "a", "b", tmp_path / "p.png")
    given = tiles(pixels(tmp_path / "p.png"), RED)
    assert len({x for x, _ in given}) == 2
    assert len({y for _, y in given}) == 6


def test_an_overview_has_a_column_a_target_and_a_line_a_source(tmp_path):
    draw_overview(pictures(3), "t", tmp_path / "p.png")
    found = pixels(tmp_path / "p.png")
    real, made = tiles(found, RED), tiles(found, MADE)
    assert (len(real), len(made)) == (3, 9)  # three samples; from a, from b, from the prior
    assert {x for x, _ in real} == {x for x, _ in made}
    assert max(y for _, y in real) < min(y for _, y in made)
    grey, dark = tiles(found, GREY), tiles(found, DARK)
    assert (len(grey), len(dark)) == (3, 9)
    assert {y for _, y in dark} == {y for _, y in made}
    assert max(x for x, _ in made) < min(x for x, _ in dark)


@pytest.mark.parametrize(
    ("size", "modalities", "samples"),
    [(8, 1, 8), (28, 1, 8), (224, 1, 8), (8, 6, 4), (28, 6, 3), (64, 6, 2), (224, 6, 2), (28, 5, 4)],
)
def test_an_overview_has_as_many_samples_as_fit(tmp_path, size, modalities, samples):
    arrays = {f"real/m{i}": flat((0, 200, 0), 30, size, size) for i in range(modalities)}
    arrays |= {f"m{i}/m{j}": flat(9, 30, size, size) for i in range(modalities) for j in range(modalities)}
    draw_overview(arrays, "t", tmp_path / "p.png")
    found = pixels(tmp_path / "p.png")
    assert 900 <= found.shape[1] <= 2400
    assert len(tiles(found, (0, 200, 0))) == modalities * samples
    assert (found[:, -20:] == 255).all()


def test_what_there_is_no_picture_of_stays_white(tmp_path):
    arrays = {n: v for n, v in pictures(2).items() if n != "a/b" and not n.startswith("prior/")}
    assert pairs(arrays) == [("a", "a"), ("b", "a"), ("b", "b")]
    draw_overview(arrays, "t", tmp_path / "p.png")
    assert len(tiles(pixels(tmp_path / "p.png"), DARK)) == 2


def test_captions_are_drawn_as_text(tmp_path):
    words = np.array(["a red bird", "", "a very long sentence about a bird " * 9])
    arrays = {"real/a": flat(RED, 3), "real/words": words, "a/words": words[::-1], "words/a": flat(MADE, 3)}
    assert draw(tmp_path, arrays) == {"a_to_words.png", "words_to_a.png", "overview.png"}
    found = pixels(tmp_path / "generation" / "a_to_words.png")
    right = max(x for x, _ in tiles(found, RED)) + 200
    top = min(y for _, y in tiles(found, RED))
    assert (found[top:, right:] < 100).any()  # letters
    assert (found[:, -28:] == 255).all()


def test_files_of_odd_names_are_kept_apart(tmp_path):
    modalities = ["a/b", "a_b", "A_b", "..", "猫 $x$", "n" * 300]
    arrays = {f"real/{m}": flat(1, 1) for m in modalities}
    arrays |= {f"{s}/{t}": flat(2, 1) for s in modalities for t in modalities}
    assert len(pairs(arrays)) == 36
    names = draw(tmp_path, arrays, "猫" * 100)
    assert len(names) == len({n.lower() for n in names}) == 37
    assert max(map(len, names)) < 120
    assert {p.name for p in tmp_path.iterdir()} == {"generation", "generation.npz"}


def test_modalities_that_are_called_like_the_lines(tmp_path):
    arrays = {f"real/{m}": flat(1, 2) for m in ("real", "prior", "m")}
    arrays |= {f"m/{m}": flat(2, 2) for m in ("real", "prior", "m")}
    assert pairs(arrays) == [("m", "real"), ("m", "prior"), ("m", "m")]
    assert "overview.png" in draw(tmp_path, arrays)


@pytest.mark.parametrize("arrays", [{}, {"round": np.array(1)}, pictures(0), {"real/a": flat(1, 2)}])
def test_nothing_to_draw_is_an_error(tmp_path, arrays):
    with pytest.raises(ValueError, match="holds no pictures"):
        draw(tmp_path, arrays)
    assert not (tmp_path / "generation").exists()


def test_one_sample_of_one_modality(tmp_path):
    arrays = {"real/a": flat(RED, 1), "a/a": flat(MADE, 1), "prior/a": flat(DARK, 1)}
    assert draw(tmp_path, arrays) == {"a_to_a.png", "overview.png"}
    found = pixels(tmp_path / "generation" / "overview.png")
    assert [len(tiles(found, c)) for c in (RED, MADE, DARK)] == [1, 1, 1]


def test_the_same_arrays_are_the_same_file(tmp_path):
    for name in ("p.png", "q.png"):
        draw_overview(pictures(2), "t", tmp_path / name)
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "q.png").read_bytes()


def test_a_picture_is_due_when_its_data_is_newer(tmp_path):
    source, path = tmp_path / "a", tmp_path / "b"
    source.touch()
    assert due(source, path)
    path.touch()
    os.utime(source, (1, 1))
    assert not due(source, path)
    os.utime(path, (0, 0))
    assert due(source, path)
