"""Ranks of right items: known ones, ties, chunks, and what cannot be ranked."""

import numpy as np
import pytest
from known import known
from sklearn.metrics.pairwise import cosine_similarity

from raysim.generation import retrieval
from raysim.generation.retrieval import average, figures, ranks
from raysim.seeding import stream


def test_known_ranks_both_ways():
    case = known("retrieval")
    images, captions, owners = (np.array(case[k]) for k in ("images", "captions", "image_of_caption"))
    there = ranks(images, captions, np.arange(3), owners)
    back = ranks(captions, images, owners)
    assert there.tolist() == case["ranks_image_to_caption"]
    assert back.tolist() == case["ranks_caption_to_image"]
    for found, i in ((figures(there), 0), (figures(back), 1)):
        assert 100 * found["top1"] == pytest.approx(case["top1_percent"][i])
        assert (int(found["median_rank"]), found["mean_rank"]) == (case["median_rank"][i], case["mean_rank"][i])


def test_rows_and_ids_say_the_same_and_the_length_of_codes_says_nothing():
    rng = stream(0, "codes")
    queries, gallery, ids = rng.standard_normal((9, 4)), rng.standard_normal((30, 4)), rng.integers(9, size=30)
    ids[:9] = np.arange(9)
    rows = [np.flatnonzero(ids == q) for q in range(9)]
    found = ranks(queries, gallery, rows)
    assert found.tolist() == ranks(queries, 7 * gallery, np.arange(9), ids).tolist()
    cosines = cosine_similarity(queries, gallery)
    order = np.argsort(-cosines, axis=1)
    assert found.tolist() == [min(order[q].tolist().index(i) for i in rows[q]) for q in range(9)]
    assert len(set(found.tolist())) > 2


def test_chunks_change_nothing(monkeypatch):
    rng = stream(0, "chunks")
    queries, gallery, right = rng.standard_normal((50, 3)), rng.standard_normal((20, 3)), rng.integers(20, size=50)
    whole = ranks(queries, gallery, right)
    monkeypatch.setattr(retrieval, "_CELLS", 60)
    assert ranks(queries, gallery, right).tolist() == whole.tolist()


@pytest.mark.parametrize("code", [0.0, 1.0, np.nan, np.inf])
def test_codes_that_are_all_alike_have_the_worst_rank(code):
    assert ranks(np.ones((2, 3)), np.full((5, 3), code), np.array([0, 4])).tolist() == [4, 4]


def test_ties_count_against_the_right_item_and_right_items_do_not_stand_in_each_others_way():
    gallery = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 1e-12], [0.0, 1.0]])
    assert ranks(np.array([[1.0, 0.0]]), gallery, [np.array([0])]).tolist() == [2]
    assert ranks(np.array([[1.0, 0.0]]), gallery, [np.array([0, 2])]).tolist() == [1]
    assert ranks(np.array([[1.0, 0.0]]), gallery, [np.array([0, 1, 2])]).tolist() == [0]


def test_figures_of_literal_ranks():
    found = figures(np.array([0, 0, 3, 4, 9, 10, 80, 2]))
    assert found == {"top1": 0.25, "top5": 0.625, "top10": 0.75, "median_rank": 3.5, "mean_rank": 13.5}
    other = found | {"top1": 0.75}
    assert average(found, other) == {"top1": 0.5, "top5": 0.625, "top10": 0.75}


def test_what_cannot_be_ranked():
    with pytest.raises(ValueError, match="query 1 has no right item"):
        ranks(np.ones((2, 3)), np.ones((4, 3)), np.array([0, 7]))
    with pytest.raises(ValueError, match="gallery of width 2 do not fit 2 queries of width 3"):
        ranks(np.ones((2, 3)), np.ones((4, 2)), np.array([0, 1]))
