import chaos
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_whatever_is_killed_the_outcome_is_the_same():
    studies, kills = chaos.run(30, seed=7)
    assert kills.total() == 30
    assert set(kills) == set(chaos.KINDS)
    assert studies < 30
