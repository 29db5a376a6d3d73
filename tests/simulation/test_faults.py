import pytest

from raysim.scenario.schema import Faults
from raysim.simulation.faults import one_line, remedy


@pytest.mark.parametrize(
    ("fault", "failures", "clients", "policy", "expected"),
    [
        ("died", 1, 8, "fail", "redo"), ("died", 2, 1, "fail", "redo"), ("died", 3, 1, "fail", "fail"),
        ("raised", 2, 8, "skip_client", "redo"), ("raised", 3, 8, "skip_client", "fail"),
        ("late", 1, 8, "fail", "fail"), ("late", 1, 1, "retry", "redo"), ("late", 3, 1, "retry", "fail"),
        ("late", 1, 8, "skip_client", "narrow"), ("late", 9, 2, "skip_client", "narrow"),
        ("late", 1, 1, "skip_client", "skip"),
    ],
)  # fmt: skip
def test_what_follows(fault, failures, clients, policy, expected):
    assert remedy(fault, failures, clients, Faults(on_timeout=policy), max_failures=2) == expected


def test_nothing_is_done_again_where_that_is_not_wanted():
    assert remedy("died", 1, 1, Faults(), max_failures=0) == "fail"


def test_an_error_in_a_line():
    error = RuntimeError("a wall\n  of frames")
    assert one_line(error) == "a wall of frames"
    error.cause = ValueError("the reason")
    assert one_line(error) == "the reason"
    frames = (
        "The actor died because of an error raised in its creation task, ray::Client.__init__()\n  File\n    x = 1\n"
    )
    assert one_line(RuntimeError(f"{frames}Unlike: node b: torch 2.0\n")) == "Unlike: node b: torch 2.0"
