import pytest
from studies import grid_study, small_study, summary, write_study

from raysim.report.reading.folders import read
from raysim.report.tables.costs import UnknownArm, amount, cost_table, module_table, traffic_table
from raysim.report.tables.tables import aligned


def results(out):
    return read([out]).results


def test_amounts_read_as_in_the_papers():
    values = (512, 999.4, 13_002, 6_324_238, 999_999_499, 94_059_000_000, 2e12)
    assert [amount(v) for v in values] == [
        "512", "999", "13.002 k", "6.324 M", "999.999 M", "94.059 G", "2.000 T",
    ]  # fmt: skip


def test_costs_are_means_over_seeds(tmp_path):
    table = cost_table(results(small_study(tmp_path / "out")), "study")
    assert aligned(table) == [
        "method  parameters  MACs/sample  MACs/round  steps  up/round  down/round      up     down  compute   time    memory",  # noqa: E501
        "zero         1,000      5.000 k     6.000 M     15    1.0 kB      2.0 kB  2.0 kB   4.0 kB    3.0 s  2.0 s  400.0 MB",  # noqa: E501
        "fin          3,000      5.000 k     6.000 M     10    3.0 kB      6.0 kB  6.0 kB  12.0 kB    3.0 s  2.0 s  400.0 MB",  # noqa: E501
    ]


def test_figures_that_older_summaries_lack_are_left_out(tmp_path):
    old = summary("zero", 1, 0.25)
    for name in ("macs", "traffic", "compute_s", "peak_bytes_rss", "parameters_by_group"):
        del old[name]
    unmeasured = {**summary("fin", 1, 0.25), "macs": None}
    out = results(write_study(tmp_path / "both", [old, unmeasured]))
    assert cost_table(out, "study").header == (
        "method", "parameters", "steps", "up/round", "down/round", "up", "down", "compute", "time", "memory",
    )  # fmt: skip
    assert cost_table(out, "study").lines[0][-3:] == ("-", "2.0 s", "-")
    assert module_table(out, "study").lines[0] == ("fin", "task.head", "1.000 k", "0.00", "")
    alone = results(write_study(tmp_path / "old", [old]))
    assert (module_table(alone, "study"), traffic_table(alone, "study")) == (None, None)


def test_networks_as_in_table_3_and_table_4(tmp_path):
    groups = {"task.a": 1_048_576, "task.head": 1000, "gen.a": 22_156_495}
    groups |= dict.fromkeys(("fin.a_b", "fin.b_a", "fin.a_c"), 6_324_238)
    macs = {"task.a": 94_059_000_000} | dict.fromkeys(("fin.a_b", "fin.b_a", "fin.a_c"), 6_318_080)
    one = {**summary("fin", 1, 0.5), "parameters_by_group": groups, "macs": {"by_group": macs}}
    two = {**summary("also", 1, 0.5), "parameters_by_group": groups, "macs": {"by_group": macs}}
    out = results(write_study(tmp_path / "out", [one, two, summary("zero", 1, 0.5)]))
    assert aligned(module_table(out, "study")) == [
        "method     network     parameters     MiB  MACs/sample",
        "fin, also  task.* (2)     1.050 M    4.00",
        "           task.a         1.049 M    4.00     94.059 G",
        "           task.head      1.000 k    0.00",
        "           gen.a         22.156 M   84.52",
        "           fin.* (3)     18.973 M   72.38",
        "           each fin.*     6.324 M   24.13      6.318 M",
        "           all           42.179 M  160.90",
        "zero       task.head      1.000 k    0.00      1.500 k",
        "           all            1.000 k    0.00",
    ]


def test_traffic_is_compared_with_the_arm_that_sends_most(tmp_path):
    out = results(small_study(tmp_path / "out"))
    assert aligned(traffic_table(out, "study")) == [
        "method  group         down      up  together   of fin",
        "zero    all         4.0 kB  2.0 kB    6.0 kB   33.3 %",
        "        task.head   4.0 kB  2.0 kB    6.0 kB  100.0 %",
        "fin     all        12.0 kB  6.0 kB   18.0 kB  100.0 %",
        "        task.head   4.0 kB  2.0 kB    6.0 kB  100.0 %",
        "        fin.*       8.0 kB  4.0 kB   12.0 kB  100.0 %",
        "        fin.a_b     4.0 kB  2.0 kB    6.0 kB  100.0 %",
        "        fin.b_a     4.0 kB  2.0 kB    6.0 kB  100.0 %",
    ]


def test_or_with_the_one_that_is_named(tmp_path):
    out = results(small_study(tmp_path / "out"))
    assert aligned(traffic_table(out, "study", "zero", single=False))[3:] == [
        "fin     all        12.0 kB  6.0 kB   18.0 kB  300.0 %",
        "        task.head   4.0 kB  2.0 kB    6.0 kB  100.0 %",
        "        fin.*       8.0 kB  4.0 kB   12.0 kB        -",
    ]
    with pytest.raises(UnknownArm, match="study: has no finished 'gan' to compare with; there are: zero, fin"):
        traffic_table(out, "study", "gan")


def test_networks_and_traffic_are_by_method_where_a_rate_varies_too(tmp_path):
    out = results(grid_study(tmp_path / "out"))
    assert [line[0] for line in module_table(out, "study").lines if line[0]] == ["zero", "fin"]
    assert [line[0] for line in traffic_table(out, "study").lines if line[0]] == ["zero", "fin"]
    assert [line[:2] for line in cost_table(out, "study").lines] == [
        ("0.5", "zero"), ("0.5", "fin"), ("0.25", "zero"), ("0.25", "fin"),
    ]  # fmt: skip
