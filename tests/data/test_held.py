"""Rows that clients keep: who keeps which, and what becomes of the rest."""

import numpy as np
import pytest
from dealing import dealt as natural

from raysim.data.dataset import DataError, Dataset, Modality, Split
from raysim.data.dealing import federate
from raysim.data.held import hold_back, stratified
from raysim.data.record import table
from raysim.scenario.schema import Scenario
from raysim.scenario.served import ClientRows
from raysim.seeding import stream

KEEP = {"clients": {"share": 0.4}}
SEEN = np.ones(100, dtype=bool)


def dealt(**sections):
    """Forty samples of four classes, dealt to four clients."""
    split = Split({m: np.zeros((40, 2), np.float32) for m in "ab"}, np.arange(40) % 4)
    dataset = Dataset({m: Modality("vector", (2,)) for m in "ab"}, tuple("wxyz"), False, split, split, split)
    scenario = Scenario.model_validate({
        "name": "t", "dataset": "none", "partition": {"name": "iid", "clients": 4}, "method": "zero_fill",
        "federation": {"rounds": 1}, **sections,
    })  # fmt: skip
    return federate(dataset, scenario, 0, lambda mask, present: mask)


def sizes(*counts, share=0.2, having=SEEN):
    """How many rows clients with so many keep, of each kind."""
    ends = np.cumsum(counts)
    parts = [np.arange(end - n, end) for n, end in zip(counts, ends, strict=True)]
    held = hold_back(parts, np.arange(100) % 3, having, ClientRows(share=share), 0)
    for part, (validation, test) in zip(parts, held, strict=True):
        both = np.concatenate([validation, test])
        assert len(validation) == len(test)
        assert len(set(both.tolist())) == len(both)
        assert set(both.tolist()) <= set(part.tolist())
    return [len(validation) for validation, _ in held]


def test_half_of_the_share_each_at_least_one_and_one_row_to_train_on():
    assert sizes(0, 1, 2, 3, 4, 10, 30, 50) == [0, 0, 0, 1, 1, 1, 3, 5]
    assert sizes(3, 4, 5, share=0.99) == [1, 1, 2]


def test_a_client_with_nothing_else_left_to_train_on_keeps_none():
    (validation, test), *_ = hold_back([np.arange(5)], np.zeros(100, int), SEEN, ClientRows(share=0.2), 0)
    only = np.zeros(100, dtype=bool)
    only[[validation[0], test[0]]] = True
    assert sizes(5, having=only) == [0]
    only[np.setdiff1d(np.arange(5), [validation[0], test[0]])[0]] = True
    assert sizes(5, having=only) == [1]


def test_classes_have_their_share_of_what_is_drawn():
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    for seed in range(20):
        drawn = stratified(np.arange(100), classes, 10, stream(seed, "t"))
        assert drawn.tolist() == sorted(set(drawn.tolist()))
        assert np.bincount(classes[drawn], minlength=3).tolist() == [6, 3, 1]
    singles = [int(stratified(np.arange(100), classes, 1, stream(seed, "t"))[0]) for seed in range(400)]
    assert np.bincount(classes[singles], minlength=3) / 400 == pytest.approx([0.6, 0.3, 0.1], abs=0.08)


def test_what_is_kept_leaves_training_and_nothing_else_changes():
    plain, data = dealt(), dealt(evaluation=KEEP)
    assert plain.held is None
    assert not plain.more
    held = data.held
    assert held.clients.tolist() == [0, 1, 2, 3]
    assert (held.of, held.kept, held.without, held.roles) == (40, 16, 0, ("a+b",) * 4)
    for i in range(4):
        mine = [held.rows[s][held.part(s, i)] for s in ("validation", "test")]
        assert [len(rows) for rows in mine] == [2, 2]
        together = np.concatenate([data.part(i), *mine])
        assert sorted(together.tolist()) == plain.part(i).tolist()
        assert data.info(i).samples == 6
    for name, view in data.more.items():
        assert name == f"clients_{name.removeprefix('clients_')}"
        assert (view.split, len(view)) == ("train", 8)
        assert view.at(2, 4).tolist() == held.rows[name.removeprefix("clients_")][2:4].tolist()
    assert str(held) == "clients keep 16 of 40 rows for themselves; judged: 4"


def test_rows_are_the_same_whatever_is_missing_and_have_what_their_client_has():
    plain = dealt(evaluation=KEEP)
    data = dealt(evaluation=KEEP, missing={"name": "per_client", "rate": 0.5})
    assert all((data.held.rows[s] == plain.held.rows[s]).all() for s in ("validation", "test"))
    full = dealt(missing={"name": "per_client", "rate": 0.5})
    view = data.more["clients_test"]
    assert np.array_equal(view.mask, full.mask)
    assert len(set(data.held.roles)) > 1
    for i, role in enumerate(data.held.roles):
        rows = view.rows[data.held.part("test", i)]
        assert {"+".join(m for m, there in zip("ab", line, strict=True) if there) for line in view.mask[rows]} == {role}


def test_samples_that_lost_everything_are_not_judged():
    data = dealt(evaluation={"clients": {"share": 0.8}}, missing={"name": "per_sample", "rate": 0.6, "empty": "drop"})
    held = data.held
    assert all(data.more[f"clients_{s}"].mask[held.rows[s]].any(axis=1).all() for s in ("validation", "test"))
    assert sum(map(len, held.rows.values())) < held.kept
    assert len(held.rows["test"]) == held.offsets["test"][-1]
    assert data.sizes.min() >= 1


def test_of_what_changes_the_first_period_is_judged():
    missing = {"name": "per_sample", "rate": 0.5, "changing": {"every_rounds": 2}}
    data = dealt(missing=missing, evaluation=KEEP)
    view, rows = data.more["clients_test"], data.held.rows["test"]
    assert np.array_equal(view.mask, data.mask_in(1, lambda mask, _: mask))
    assert not np.array_equal(view.mask[rows], data.mask_in(3, lambda mask, _: mask)[rows])
    assert data.held.roles == ("a+b",) * 4


def test_hidden_parts_and_noise_stay_with_the_rows_and_labels_are_clean():
    parts = {"rate": 1.0, "share": 0.5}
    data = dealt(missing={"name": "none", "parts": parts}, feature_noise=0.4, labels={"noise": 0.5}, evaluation=KEEP)
    rows = data.held.rows["test"]
    assert data.more["clients_test"].holes
    assert data.holes["train"]["a"][rows].any(axis=1).all()
    assert data.noise[rows] == pytest.approx(np.repeat(np.sqrt(0.1 * np.arange(1, 5)), 2))
    assert (data.dataset.train.labels == np.arange(40) % 4).all()
    assert not data.views["test"].holes


def test_neither_public_samples_nor_those_without_a_label_are_kept():
    data = dealt(public=8, labels={"missing": 0.3}, evaluation=KEEP)
    kept = np.concatenate([*data.held.rows.values()])
    known = dealt(public=8, labels={"missing": 0.3})
    assert set(kept.tolist()) <= set(known.rows[: known.offsets[4]].tolist())
    assert not set(kept.tolist()) & set(data.rows.tolist())
    assert data.part(4).tolist() == known.part(4).tolist()


def test_some_clients_are_judged_and_all_keep_rows():
    everyone, some = dealt(evaluation=KEEP), dealt(evaluation={"clients": {"share": 0.4, "most": 2}})
    assert len(some.held.clients) == 2
    assert some.held.kept == 16
    assert (some.rows == everyone.rows).all()
    for i, client in enumerate(some.held.clients.tolist()):
        mine = some.held.rows["test"][some.held.part("test", i)]
        assert mine.tolist() == everyone.held.rows["test"][everyone.held.part("test", client)].tolist()


def test_natural_clients_keep_their_names_and_those_with_few_rows_nothing():
    # Clients 2, 5 and 9 have two, three and one of the samples.
    data = natural(evaluation=KEEP)
    assert (data.held.clients.tolist(), data.held.ids.tolist(), data.held.without) == ([1], ["fifth"], 2)
    assert str(data.held) == "clients keep 2 of 6 rows for themselves; judged: 1, without any: 2"
    assert natural(natural=False, partition={"name": "iid", "clients": 2}, evaluation=KEEP).held.ids is None


def test_nobody_with_enough_rows_is_an_error():
    with pytest.raises(DataError, match="no client has rows to keep") as caught:
        dealt(partition={"name": "iid", "clients": 20}, evaluation=KEEP)
    assert caught.value.section == "evaluation"


def test_the_record_says_what_is_kept():
    found, data = table(natural(n=60, evaluation=KEEP)), natural(n=60, evaluation=KEEP)
    for split in ("validation", "test"):
        assert sorted(found["rows"][found[f"held.{split}"]].tolist()) == sorted(data.held.rows[split].tolist())
    assert (found["trained"] ^ found["held.validation"] ^ found["held.test"]).all()
    assert not any(key.startswith("held") for key in table(natural()))


def test_subsets_are_given_to_the_test_samples_that_have_them():
    data = natural(evaluation={"subsets": "all"})  # the last of six lacks b
    masks = {name: (view.rows.tolist(), view.mask[view.rows].tolist()) for name, view in data.more.items()}
    assert masks == {
        "subset a": ([0, 1, 2, 3, 4, 5], [[True, False]] * 6),
        "subset b": ([0, 1, 2, 3, 4], [[False, True]] * 5),
        "subset a+b": ([0, 1, 2, 3, 4], [[True, True]] * 5),
    }
    assert all(view.split == "test" for view in data.more.values())
