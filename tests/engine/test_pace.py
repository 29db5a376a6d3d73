import pytest

from raysim.engine.ray_executor import Pace
from raysim.training.reports import ClientReport, Reports
from raysim.training.results import UnitResult
from raysim.training.units import Unit


def unit(bucket, samples):
    return Unit(0, (0,), {}, samples, bucket)


def result(*clients):
    reports = Reports.of([ClientReport(i, samples, 1, {}, seconds) for i, (samples, seconds) in enumerate(clients)])
    return UnitResult(0, {}, {}, reports)


def test_units_of_a_bucket_cost_what_they_cost_last_time():
    pace = Pace()
    assert pace.cost_s(unit((2,), 10)) == 10 * pace.cost_s(unit((2,), 1))
    pace.learn((2,), result((10, 0.5), (10, 0.5)))
    assert pace.cost_s(unit((2,), 4)) == pytest.approx(0.2)
    pace.learn((2,), result((10, 1.5)))
    assert pace.cost_s(unit((2,), 4)) == pytest.approx(0.4)


def test_an_unknown_bucket_costs_the_mean_of_the_known():
    pace = Pace()
    pace.learn((0, 2), result((1, 0.1)))
    pace.learn((2, 2), result((1, 0.3)))
    assert pace.cost_s(unit((2, 0), 10)) == pytest.approx(2.0)
