from dataclasses import replace

import numpy as np
import pytest

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.dealing import federate
from raysim.scenario.schema import Scenario


def dealt(present=None, **sections):
    """Forty samples of four classes, dealt to four clients; `present`: the mask (40,) of what the data has of a."""
    labels = np.arange(40) % 4
    split = Split({"a": np.zeros((40, 2), np.float32), "b": np.zeros((40, 3), np.float32)}, labels)
    if present is not None:
        split = replace(split, present={"a": present})
    dataset = Dataset(
        {"a": Modality("vector", (2,)), "b": Modality("vector", (3,))}, tuple("wxyz"), False, split, split, split
    )
    scenario = Scenario.model_validate({
        "name": "t", "dataset": "none", "partition": {"name": "iid", "clients": 4}, "method": "zero_fill",
        "federation": {"rounds": 1}, **sections,
    })  # fmt: skip
    return federate(dataset, scenario, 0, lambda mask, present: mask)


def test_clean_labels_are_the_data_s_own():
    data = dealt()
    assert data.noisy is None
    assert data.labels is data.dataset.train.labels


def test_clients_see_noisy_labels_and_nothing_else_does():
    clean, data = dealt(), dealt(labels={"noise": 0.5})
    changed = data.labels != clean.labels
    assert 5 < changed.sum() < 35
    assert (data.dataset.train.labels == np.arange(40) % 4).all()
    for client in range(4):
        counts = np.bincount(data.labels[data.part(client)], minlength=4)
        assert data.info(client).class_counts == tuple(counts)
        assert (data.part(client) == clean.part(client)).all()


def test_feature_noise_goes_with_the_partition_whatever_it_is():
    assert dealt().noise is None
    data = dealt(feature_noise=0.4)
    for client in range(4):
        assert data.noise[data.part(client)] == pytest.approx(np.full(10, np.sqrt(0.1 * (client + 1))))
    shared = dealt(feature_noise=0.4, public=5)
    assert (shared.noise[shared.part(shared.clients)] == 0).all()


def test_parts_are_hidden_at_test_time_where_it_says_so():
    parts = {"rate": 0.5, "share": 0.5}
    data = dealt(missing={"name": "none", "parts": parts}, public=8)
    assert data.mask.all()
    assert data.holes.keys() == {"train"}
    assert not any(view.holes for view in data.views.values())
    assert not data.holes["train"]["a"][data.part(data.clients)].any()
    assert data.holes["train"]["a"].any(axis=1).mean() == pytest.approx(0.4, abs=0.25)
    data = dealt(missing={"name": "none", "parts": parts}, evaluation={"missing": "same"})
    assert data.holes.keys() == {"train", "validation", "test"}
    assert {name: view.holes for name, view in data.views.items()} == {
        "validation": True, "validation_unmasked": False, "test": True, "test_unmasked": False
    }  # fmt: skip
    assert data.views["test"].mask.all()


def test_what_changes_between_rounds_leaves_a_clients_structure_alone():
    missing = {"name": "per_sample", "rate": {"b": 0.5}, "changing": {"every_rounds": 2}}
    data = dealt(missing=missing, public=6)
    rounds = [data.mask_in(r, lambda mask, present: mask) for r in (1, 2, 3, 3)]
    assert rounds[0] is rounds[1]
    assert rounds[2] is rounds[3]
    assert 5 < (rounds[0] != rounds[2]).any(axis=1).sum() < 35
    public = data.part(data.clients)
    assert all(mask[public].all() for mask in rounds)
    assert data.mask.all()
    assert data.deal.left.all()
    fixed = dealt(missing={"name": "per_sample", "rate": {"b": 0.5}}, public=6)
    assert (rounds[0] == fixed.mask).all()
    assert data.hidden["training"] == fixed.hidden["training"]
    for client in range(4):
        info = data.info(client)
        assert (info.modalities, info.always, info.complete) == ({"a", "b"}, {"a"}, info.samples)
    assert data.patterns.tolist() == [[2, 1]] * 4 + [[2, 2]]
    assert fixed.mask_in(7, lambda mask, present: present) is fixed.mask


def test_samples_without_a_label_belong_to_nobody():
    data = dealt(labels={"missing": 0.5})
    assert 5 < len(data.rows) < 35
    assert sum(data.info(c).samples for c in range(4)) == len(data.rows)
    assert data.noisy is None


def test_the_benchmark_s_clients_lack_what_their_numbers_say():
    sections = {"missing": {"name": "per_client", "rate": 0.5}, "compat": "fedmultimodal"}
    data = dealt(**sections)
    # As drawn with the seeds 0 and 0, 1 and 2, 2 and 4, 3 and 6.
    lost = [[np.random.RandomState(i * k).binomial(1, 0.5) for k in (1, 2)] for i in range(4)]
    has = [tuple(sorted(data.info(c).modalities)) for c in range(4)]
    assert has == [tuple(m for m, gone in zip("ab", pair, strict=True) if not gone) for pair in lost]


def test_what_the_data_itself_lacks_is_told_apart_from_what_is_hidden():
    missing = {"name": "per_sample", "rate": {"b": 0.999999}, "empty": "drop"}
    data = dealt(np.arange(40) < 30, missing=missing, evaluation={"missing": "none"})
    assert data.hidden["training"] == pytest.approx(30 / 60)  # all of b, of the thirty with a that are left
    assert data.lacking["test"] == pytest.approx(10 / 80)
    assert set(dealt().lacking.values()) == {0.0}
