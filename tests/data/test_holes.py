import numpy as np
import pytest

from raysim.data.dataset import DataError, Modality, Split
from raysim.data.dealing import noise_of
from raysim.data.holes import holes
from raysim.scenario.clients import HiddenParts

MODALITIES = {
    "image": Modality("image", (1, 10, 20)),
    "vector": Modality("vector", (8,)),
    "sequence": Modality("sequence", (30, 2)),
    "tokens": Modality("tokens", (6,), 9),
}
COUNT = 4000
LENGTHS = {"sequence": np.arange(COUNT) % 31, "tokens": np.full(COUNT, 5)}
SPLIT = Split({}, np.zeros(COUNT, np.int64), LENGTHS)


def drawn(rate=0.5, share=0.25, seed=0, name="train"):
    return holes(SPLIT, MODALITIES, HiddenParts(rate=rate, share=share), name, seed)


def test_a_part_is_a_patch_a_block_or_a_span_of_that_share():
    found = drawn(rate=1.0)
    assert {m: s.shape for m, s in found.items()} == {
        "image": (COUNT, 4), "vector": (COUNT, 2), "sequence": (COUNT, 2), "tokens": (COUNT, 2)
    }  # fmt: skip
    image, vector, sequence, tokens = found.values()
    assert (image[:, 1] - image[:, 0] == 5).all()  # a quarter of the area: half of each side
    assert (image[:, 3] - image[:, 2] == 10).all()
    assert set(image[:, 0]) == set(range(6))
    assert set(image[:, 2]) == set(range(11))
    assert (vector[:, 1] - vector[:, 0] == 2).all()
    assert np.bincount(vector[:, 0]) == pytest.approx(np.full(7, COUNT / 7), rel=0.2)
    assert (tokens[:, 1] - tokens[:, 0] == 1).all()
    steps = np.maximum(LENGTHS["sequence"], 1)
    assert (sequence[:, 1] - sequence[:, 0] == np.rint(steps / 4).clip(min=1)).all()
    assert (sequence[:, 1] <= steps).all()


def test_as_many_samples_as_the_rate_says_and_the_same_ones_at_a_higher_rate():
    few, many = drawn(rate=0.3)["vector"], drawn(rate=0.6)["vector"]
    hit, more = few.any(axis=1), many.any(axis=1)
    assert hit.mean() == pytest.approx(0.3, abs=0.03)
    assert more.mean() == pytest.approx(0.6, abs=0.03)
    assert more[hit].all()
    assert (few[hit] == many[hit]).all()


def test_by_modality_and_nothing_for_others():
    found = drawn(rate={"image": 0.5, "vector": 0.0}, share=1.0)
    assert list(found) == ["image"]
    hit = found["image"].any(axis=1)
    assert (found["image"][hit] == [0, 10, 0, 20]).all()
    assert drawn(rate=0.5, share={"tokens": 0.5}).keys() == {"tokens"}
    assert holes(SPLIT, MODALITIES, None, "train", 0) == {}


def test_draws_differ_by_seed_split_and_modality():
    first = drawn(share={"vector": 0.1, "tokens": 0.2})
    assert not np.array_equal(first["vector"], first["tokens"])
    for other in (drawn(seed=1), drawn(name="test")):
        assert not np.array_equal(first["vector"].any(axis=1), other["vector"].any(axis=1))


def test_the_draws_stay_what_they_are():
    assert drawn()["vector"][:6].tolist() == [[0, 0], [6, 8], [5, 7], [0, 0], [1, 3], [0, 0]]
    assert drawn()["image"][:3].tolist() == [[1, 6, 2, 12], [5, 10, 2, 12], [5, 10, 10, 20]]


def test_an_unknown_modality_is_one_line():
    with pytest.raises(DataError, match=r"^parts: no modality 'imge'; did you mean 'image'\?$") as caught:
        drawn(share={"imge": 0.5})
    assert caught.value.section == "missing"


def test_noise_grows_with_the_clients_number():
    parts = [np.array([0, 3]), np.array([1]), np.array([], np.int64), np.array([2])]
    assert noise_of(parts, 5, 0.4).tolist() == pytest.approx([0.1**0.5, 0.2**0.5, 0.4**0.5, 0.1**0.5, 0.0])
    assert noise_of(parts, 5, 0.0) is None
