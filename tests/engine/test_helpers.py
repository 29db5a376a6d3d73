from ray._private.node import Node

from raysim.engine.helpers import UNUSED, no_helpers


def test_helpers_start_outside_the_block_alone():
    before = {name: vars(Node)[name] for name in UNUSED}
    with no_helpers():
        assert [getattr(Node, name)(None, include_dashboard=False) for name in UNUSED] == [None] * len(UNUSED)
    assert {name: vars(Node)[name] for name in UNUSED} == before


def test_a_ray_that_starts_them_otherwise_is_left_alone(monkeypatch):
    monkeypatch.delattr(Node, "start_monitor")
    with no_helpers():
        assert not hasattr(Node, "start_monitor")
    assert not hasattr(Node, "start_monitor")
