import numpy as np

from raysim.data import summary
from raysim.data.summary import dealt


def test_what_each_client_has_by_class_and_modality(toy):
    data = toy.data((3, 2), absent=[(1, "vector")])
    found = dealt(data)
    assert found["classes"] == ("a", "b", "c")
    labels = data.dataset.train.labels
    assert found["clients"] == [
        {"id": 0, "counts": tuple(np.bincount(labels[:3], minlength=3)), "modalities": {"image": 3, "vector": 3}},
        {"id": 1, "counts": tuple(np.bincount(labels[3:], minlength=3)), "modalities": {"image": 2, "vector": 0}},
    ]


def test_too_many_clients_are_not_listed(toy, monkeypatch):
    monkeypatch.setattr(summary, "MOST_LISTED", 1)
    assert dealt(toy.data((3, 2))) is None
