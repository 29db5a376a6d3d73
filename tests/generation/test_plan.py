"""What is given, what is made of it, in which slices, and what cannot be asked."""

import numpy as np
import pytest

from raysim.data.codec import Codec
from raysim.data.dataset import Dataset, Modality, Split
from raysim.evaluation.slices import Slice
from raysim.generation import plan
from raysim.generation.plan import Part, kinds_of, made_of, measured_rows, parts, problems, subject, subsets
from raysim.generators.base import Generator
from raysim.generators.mopoe import Mopoe
from raysim.scenario.generation import Generation

NAMES = ("a", "b", "c")
KINDS = {"a": "image", "b": "image", "c": "vector"}
SHAPES = {"a": (3, 8, 8), "b": (2, 8, 8), "c": (5,)}
MODALITIES = {m: Modality(kind, SHAPES[m]) for m, kind in KINDS.items()}
CAPTIONED = {"picture": Modality("image", (3, 8, 8)), "text": Modality("tokens", (8,), 20, Codec("{}"))}
MOPOE = Mopoe(Mopoe.Options())


class Unconditional(Generator):
    conditional = False


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("singles", ["a", "b", "c"]),
        ("all", ["a", "b", "c", "ab", "ac", "bc"]),
        ([["c", "a"], ["b"], ["a", "c"]], ["ac", "b"]),
    ],
)
def test_what_is_given_stands_once_in_the_order_of_the_data(wanted, found):
    assert subsets(wanted, NAMES) == [tuple(word) for word in found]


def test_one_modality_alone_is_made_of_itself():
    assert [subsets(wanted, ("a",)) for wanted in ("all", "singles")] == [[("a",)]] * 2
    assert made_of(("a",), ("a",)) == ("a",)


@pytest.mark.parametrize(("given", "made"), [("b", "abc"), ("ab", "c"), ("", "abc"), ("abc", "")])
def test_what_is_made(given, made):
    assert made_of(tuple(given), NAMES) == tuple(made)


def test_figures_are_named_by_what_is_given_and_made():
    assert [subject(given, "b") for given in ((), ("a",), ("a", "c"))] == [">b", "a>b", "a+c>b"]


def test_rows_are_the_seed_s_and_lack_nothing():
    present = {"a": np.arange(30) % 3 > 0}
    split = Split({m: np.zeros((30, 1), np.float32) for m in NAMES}, np.zeros(30, np.int64), present=present)
    data = Dataset({m: Modality("vector", (1,)) for m in NAMES}, ("x", "y"), False, split, split, split)
    rows = measured_rows(data, 8, 0).tolist()
    assert (len(rows), rows) == (8, sorted(set(rows)))
    assert all(row % 3 for row in rows)
    assert measured_rows(data, 8, 1).tolist() != rows
    assert measured_rows(data, 100, 0).tolist() == [row for row in range(30) if row % 3]


def made(settings, generator=MOPOE, modalities=MODALITIES, *, real=True, pictures=True):
    found = parts(Generation(**settings), generator, modalities, 10, 4, real=real, pictures=pictures)
    return [(p.what, "".join(p.given), p.start, p.stop) for p in found]


def test_slices_are_chunks_of_what_is_given():
    chunks = [(0, 4), (4, 8), (8, 10)]
    assert made({"subsets": [["c"], ["b", "a"]], "prior_draws": 5, "bound": 2048, "pictures": 3}) == [
        *(("real", "", *chunk) for chunk in chunks), *(("made", "c", *chunk) for chunk in chunks),
        *(("made", "ab", *chunk) for chunk in chunks), ("made", "", 0, 4), ("made", "", 4, 5),
        *(("bound", "", i, i + 2) for i in range(0, 10, 2)),  # twice 2,048 draws at once
        ("pictures", "", 0, 3), ("pictures", "a", 0, 3), ("pictures", "b", 0, 3),
    ]  # fmt: skip


def test_what_is_known_or_not_asked_for_is_no_slice():
    nothing = {"prior_draws": 0, "pictures": 0}
    assert {what for what, *_ in made(nothing, real=False)} == {"made"}
    assert {given for _, given, *_ in made(nothing, real=False)} == set(NAMES)
    assert made(nothing | {"pictures": 2}, real=False, pictures=False) == made(nothing, real=False)


def test_what_makes_nothing_of_a_modality_is_judged_by_the_prior_alone():
    found = made({"prior_draws": 4, "pictures": 2}, Unconditional(Generator.Options()), real=False)
    assert found == [("made", "", 0, 4), ("pictures", "", 0, 2)]


def test_texts_and_images_are_pictured_and_colours_are_of_the_text():
    found = made(
        {"subsets": [["text"]], "prior_draws": 0, "pictures": 2, "colours": 1}, modalities=CAPTIONED, real=False
    )
    assert found[3:] == [
        ("colours", "text", 0, 4), ("colours", "text", 4, 8),
        ("pictures", "", 0, 2), ("pictures", "picture", 0, 2), ("pictures", "text", 0, 2),
    ]  # fmt: skip


def test_without_judges_only_inception_tells_anything_of_the_prior():
    few = {"subsets": [["a"]], "prior_draws": 4, "pictures": 0, "judges": False}
    assert {given for _, given, *_ in made(few, real=False)} == {"a"}
    assert {given for _, given, *_ in made(few | {"frechet": ["inception"]}, real=False)} == {"a", ""}


@pytest.mark.parametrize(
    ("what", "given", "samples"),
    [("made", ("a",), True), ("real", (), True), ("bound", (), True), ("pictures", ("a",), True), ("made", (), False),
     ("pictures", (), False), ("colours", ("text",), False)],
)  # fmt: skip
def test_which_slices_are_of_test_samples(what, given, samples):
    assert Part(0, 1, what, given).of_samples == samples


def test_a_slice_costs_what_it_makes():
    assert Slice("test", 2, 5).cost == 3
    assert Part(2, 5, "made", ("a",), 4).cost == 12
    assert Part(0, 1, "made") != Part(0, 1, "pictures")


def told(settings, kinds=KINDS, generator=MOPOE, shapes=SHAPES):
    return list(problems(Generation(**settings), generator, "toy", kinds, shapes))


@pytest.mark.parametrize(
    ("settings", "kinds", "key", "problem"),
    [
        ({"subsets": [["a"], ["b", "d"]]}, KINDS, "subsets.1", "the data has no modality 'd'; there are: a, b, c"),
        ({"subsets": [["a", "c", "b"]]}, KINDS, "subsets.0",
         "names all modalities, which leaves nothing to be made; leave one out"),
        ({"frechet": ["inception"]}, {"c": "vector"}, "frechet",
         "inception looks at images, and the data has none; write [judge]"),
        ({"frechet": ["inception"]}, {"b": "image"}, "frechet",
         "inception takes 1 or 3 channels, and the image 'b' has 2; write [judge]"),
        ({"colours": 1}, KINDS, "colours",
         "is of data with one image and one text (tokens), and this is other data; write 0"),
        ({"colours": 1}, {"b": "image", "t": "tokens"}, "colours",
         "is of images with 3 channels, and 'b' has 2; write 0"),
        ({}, {"a>b": "vector"}, "",
         "names pairs of modalities with '+' and '>', and 'a>b' holds one; give it another name in the data"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said_in_one_line(monkeypatch, settings, kinds, key, problem):
    monkeypatch.setattr(plan.inception, "available", lambda: True)
    assert told(settings, kinds) == [(key, problem)]


def test_texts_that_cannot_be_written_out(monkeypatch):
    kinds = kinds_of(CAPTIONED)
    monkeypatch.setattr(plan.captions, "available", lambda: False)
    found = list(problems(Generation(), MOPOE, "toy", kinds, {}, CAPTIONED))
    assert found == [("pictures", "needs tokenizers for texts; run: pip install 'raysim[text]', or write 0")]
    assert list(problems(Generation(pictures=0), MOPOE, "toy", kinds, {}, CAPTIONED)) == []


def test_what_is_known_without_data(monkeypatch):
    assert told({"colours": 1}, None, Unconditional(Generator.Options())) == [
        ("colours", "'toy' trains a generator that makes nothing of a caption; write 0")
    ]
    assert told({}, None, None) == [
        ("", "judges what a generator makes, and 'toy' trains none; remove it, or use a method with one")
    ]
    monkeypatch.setattr(plan.inception, "available", lambda: False)
    assert told({"frechet": ["judge", "inception"]}, None) == [("frechet", plan.inception.MISSING)]
    assert told({"subsets": [["nothing"]]}, None) == []


def test_what_can_be_measured_is_no_problem(monkeypatch):
    monkeypatch.setattr(plan.inception, "available", lambda: True)
    assert told({"frechet": ["inception"], "subsets": "all"}, {"a": "image", "c": "vector"}) == []
