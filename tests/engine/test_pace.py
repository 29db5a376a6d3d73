import pytest

from raysim.engine.pace import Pace
from raysim.engine.placement import deal
from raysim.training.reports import ClientReport, Reports
from raysim.training.results import UnitResult
from raysim.training.units import Unit


def unit(bucket, samples):
    return Unit(0, (0,), {}, samples, bucket)


def result(*clients):
    reports = Reports.of([ClientReport(i, samples, 1, {}, seconds) for i, (samples, seconds) in enumerate(clients)])
    return UnitResult(0, {}, {}, reports)


def takes(pace, unit, actor):
    """What a unit will take on an actor."""
    (slow,) = pace.slowness([actor])
    return slow * pace.cost_s(unit)


def test_units_of_a_bucket_cost_what_they_cost_last_time():
    pace = Pace()
    assert pace.cost_s(unit((2,), 10)) == 10 * pace.cost_s(unit((2,), 1))
    pace.learn((2,), result((10, 0.5), (10, 0.5)), 0)
    assert pace.cost_s(unit((2,), 4)) == pytest.approx(0.2)
    assert pace.slowness([0, 1]) == [1.0, 1.0]
    pace.learn((2,), result((10, 1.5)), 0)
    assert 0.4 < takes(pace, unit((2,), 4), 0) < 0.5


def test_slow_actors_are_known_as_such_and_get_less():
    pace = Pace()
    for _ in range(12):
        for actor, slow in enumerate((1, 1, 3)):
            for bucket, seconds in (((2,), 0.5), ((0, 2), 0.2)):
                pace.learn(bucket, result((10, slow * seconds)), actor)
    one, other, last = pace.slowness([0, 1, 2])
    assert other == pytest.approx(one, rel=0.05)
    assert last / one == pytest.approx(3, rel=0.1)
    for actor, seconds in ((0, 0.2), (2, 0.6)):
        assert takes(pace, unit((2,), 4), actor) == pytest.approx(seconds, rel=0.1)
    costs = [pace.cost_s(unit((2,), 4))] * 7
    assert [len(mine) for mine in deal(costs, pace.slowness([0, 1, 2]))] == [3, 3, 1]


def test_an_unknown_bucket_costs_the_mean_of_the_known():
    pace = Pace()
    pace.learn((0, 2), result((1, 0.1)), 0)
    pace.learn((2, 2), result((1, 0.3)), 0)
    assert pace.cost_s(unit((2, 0), 10)) == pytest.approx(2.0)
