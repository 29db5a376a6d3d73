"""A client actor keeps to its share of a GPU's memory, on a GPU that is only pretended."""

from types import SimpleNamespace

import pytest

from raysim.engine import client
from raysim.engine.shipping import Code

TOTAL = 80e9
SHARED = client.CONTEXT_BYTES / TOTAL


@pytest.mark.parametrize(
    ("share", "known", "measuring"),
    [(0.25, 0.25 - SHARED, 1.0), (0.01, 0.005, 1.0), (1.0, 1.0, 1.0)],
)
def test_it_is_lifted_to_measure_what_a_unit_needs(monkeypatch, share, known, measuring):
    limits, trained = [], []
    gpu = SimpleNamespace(
        is_available=lambda: True,
        get_device_properties=lambda device: SimpleNamespace(total_memory=TOTAL),
        set_per_process_memory_fraction=limits.append,
        max_memory_reserved=lambda: 3,
    )
    monkeypatch.setattr(client.torch, "cuda", gpu)
    monkeypatch.setattr(client, "own_share", lambda: share)
    actor = client.Client(Code())
    assert limits == pytest.approx([known])
    actor._trainer = SimpleNamespace(train=lambda *_: trained.append(list(limits)))
    assert actor.measure(None, None) == (3, TOTAL)
    assert trained == [pytest.approx([known, measuring])]
    assert limits[2:] == pytest.approx([known])


def test_an_actor_without_a_gpu_leaves_them_alone(monkeypatch):
    monkeypatch.setattr(client.torch, "cuda", SimpleNamespace(is_available=lambda: True))
    monkeypatch.setattr(client, "own_share", lambda: 0.0)
    client.Client(Code())
