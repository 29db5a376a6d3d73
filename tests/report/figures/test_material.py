import pytest
from pages import losses_alone, many_trials, odd_study
from studies import grid_study, small_study

from raysim.report.figures.material import Material
from raysim.report.figures.shown import facets
from raysim.report.reading.folders import read


def of(out, scenario="study", **settings):
    return Material(read([out]), scenario, **settings)


def test_arms_and_panes_of_a_matrix(tmp_path):
    material = of(grid_study(tmp_path))
    assert material.arms == ("zero", "fin")
    assert material.axes == ("method", "missing.rate")
    rates = material.rates()
    assert (rates.x, rates.y) == ("missing.rate", "test accuracy")
    (pane,) = rates.panes
    zero, fin = pane.series
    assert (zero.name, zero.x, zero.y) == ("zero", (0.25, 0.5), (0.6875, 0.4375))
    assert [high - y for high, y in zip(fin.high, fin.y, strict=True)] == pytest.approx([0.0883883, 0.0883883])


def test_traffic_is_bytes_against_the_score(tmp_path):
    lines = of(small_study(tmp_path)).traffic()
    assert [(s.name, s.x, s.y) for s in lines.panes[0].series] == [
        ("zero", (6000,), (0.375,)),
        ("fin", (18000,), (0.75,)),
    ]
    assert lines.bytes
    assert not lines.log


def test_the_worst_tenth_is_of_the_test_rows_and_rounded_up(tmp_path):
    out = small_study(tmp_path)
    scores = [f"test,{k},{k / 20}" for k in range(11)]
    text = "\n".join(["split,client,accuracy", "validation,0,0.99", *reversed(scores)])
    (out / "study/method=fin,seed=1/clients.csv").write_text(text)
    (strips,) = of(out).clients()
    (fin,) = strips.strips
    assert (fin.name, fin.place, fin.worst, fin.mean) == ("fin", 1, 2, 0.25)
    assert fin.scores[:2] == (0.0, 0.05)
    assert fin.scores[-1] == 0.5


def test_subsets_stand_by_how_much_is_given(tmp_path):
    (found,) = of(odd_study(tmp_path)).subsets()
    assert found.modalities == ("a", "b", "c")
    assert ["".join(sorted(s)) for s in found.subsets] == ["a", "b", "c", "ab", "ac", "bc", "abc"]
    name, place, means = found.arms[0]
    assert (name, place) == ("zero", 0)
    assert means == pytest.approx((0.3625, 0.3625, 0.3625, 0.4625, 0.4625, 0.4625, 0.5625))


def test_a_loss_is_worst_where_it_is_high(tmp_path):
    out = losses_alone(tmp_path)
    (out / "losses/method=vae,seed=1/clients.csv").write_text("split,client,loss\ntest,0,1.0\ntest,1,3.0\n")
    material = of(out, "losses")
    (strips,) = material.clients()
    assert (material.chosen, strips.strips[0].scores, strips.strips[0].worst) == ("loss", (3.0, 1.0), 1)
    assert material.learning().panes[0].series[0].y == (3.0, 1.5)
    assert (material.rates(), material.traffic()) == (None, None)


def test_more_arms_than_colours_get_a_pane_each(tmp_path):
    lines = of(many_trials(tmp_path, methods=9, rates=(0.5,), seeds=(1,))).learning()
    assert [len(pane.series) for pane in lines.panes] == [9, 9]  # the metric, and the loss
    several = facets(lines, 7)
    assert [(pane.title, len(pane.behind)) for pane in several.panes] == [(f"method_{i}", 8) for i in range(9)]
    assert facets(lines, 9) is lines


def test_a_rate_alone_is_one_line(tmp_path):
    material = of(many_trials(tmp_path, methods=1, rates=(0.5, 0.1), seeds=(1,)))
    assert material.arms == ("0.5", "0.1")
    ((line,),) = [pane.series for pane in material.rates().panes]
    assert (line.x, line.y) == ((0.1, 0.5), (0.87, 0.71))
