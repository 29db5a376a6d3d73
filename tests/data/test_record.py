import io

import numpy as np
import pytest
from dealing import CLIENTS, NAMES, dealt

from raysim.data.record import table
from raysim.report.files import packed


def test_rows_clients_and_their_own_names():
    found = {key: array.tolist() for key, array in table(dealt()).items()}
    assert found == {
        "samples": 6,
        "rows": [1, 4, 0, 2, 5, 3],
        "client": [0, 0, 1, 1, 1, 2],
        "trained": [True] * 6,
        "present.a": [True] * 6,
        "present.b": [True, True, True, True, False, True],
        "validation.a": [True] * 6,
        "validation.b": [True] * 5 + [False],
        "test.a": [True] * 6,
        "test.b": [True] * 5 + [False],
        "ids": ["second", "fifth", "ninth"],
        "natural": [2, 2, 5, 5, 5, 9],
        "natural_names": list(NAMES),
    }


def test_clients_without_names_go_by_their_number_and_mixed_ones_by_nothing():
    assert table(dealt(names=()))["ids"].tolist() == ["2", "5", "9"]
    found = table(dealt(partition={"name": "iid", "clients": 2}))
    assert "ids" not in found
    assert found["natural"].tolist() == CLIENTS[found["rows"]].tolist()
    assert (
        not {"ids", "natural", "natural_names"}
        & table(dealt(natural=False, partition={"name": "iid", "clients": 2})).keys()
    )


def test_it_is_what_the_clients_train_on():
    hidden = {"missing": {"name": "per_sample", "rate": 0.6, "empty": "drop"}, "evaluation": {"missing": "same"}}
    data = dealt(n=60, public=5, labels={"missing": 0.3}, **hidden)
    found = table(data)
    assert sorted(found["rows"].tolist()) == list(range(60))
    trained = found["trained"]
    assert 10 < trained.sum() < 40
    for client in range(data.clients):
        mine = trained & (found["client"] == client)
        rows = found["rows"][mine]
        assert rows.tolist() == data.part(client).tolist()
        assert np.array_equal(np.stack([found["present.a"], found["present.b"]], 1)[mine], data.mask[rows])
    assert found["public"].tolist() == data.part(data.clients).tolist()
    assert not trained[np.isin(found["rows"], found["public"])].any()
    for split in ("validation", "test"):
        mask = np.stack([found[f"{split}.a"], found[f"{split}.b"]], 1)
        assert np.array_equal(mask, data.views[split].mask)
        assert np.array_equal(found[f"scored.{split}"], mask.any(axis=1))
        assert 0 < mask.any(axis=1).sum() < 60


def test_what_a_method_makes_of_the_mask_stands_beside_it():
    hidden = {"missing": {"name": "per_sample", "rate": 0.5}}
    assert "observed.a" not in table(dealt(n=60, **hidden))
    found = table(dealt(lambda mask, present: mask & [True, False], n=60, **hidden))
    assert not found["observed.b"].any()
    assert found["present.b"].any()
    assert np.array_equal(found["observed.a"], found["present.a"])


@pytest.mark.parametrize("names", [NAMES, ("", "", "ü", "", "", "名", "", "", "", "a b")])
def test_it_is_read_without_unpickling_anything(names):
    found = table(dealt(names=names, public=2))
    with np.load(io.BytesIO(packed(found)), allow_pickle=False) as kept:
        assert {key: kept[key].tolist() for key in kept.files} == {key: a.tolist() for key, a in found.items()}
