import pytest
from generation import figures, generated

from raysim.report.events import StudyStarted, TrialFinished, TrialInfo
from raysim.report.reading.results import Results
from raysim.report.render.csv import summary_csv
from raysim.report.render.markdown import report
from raysim.report.tables.generation import generation_table, generation_tables, judges_line, pair_table
from raysim.report.tables.tables import scenario_table


def study(*trials):
    """Results of (arm, seed, summary) with a loss of 1."""
    infos = [TrialInfo("s", f"{a}{n}", n, {"arm": a}, 2, "last", "loss", ("loss",)) for a, n, _ in trials]
    results = Results()
    results.fold(StudyStarted(tuple(infos), "out", "machine"))
    for info, (_, _, summary) in zip(infos, trials, strict=True):
        results.fold(TrialFinished(info, {"splits": {"test": {"loss": 1.0}}, **summary}))
    return results


def measured(found, round_=2):
    return {"generation": {"round": round_, "figures": found}}


def test_a_line_an_arm_with_means_over_seeds_and_the_best():
    table = generation_table(study(("x", 0, generated(0.5)), ("x", 1, generated(0.75)), ("y", 0, generated(0.25))), "s")
    assert (table.title, table.caption) == (
        "s: generation", "test samples, round 2, mean ± sample standard deviation over seeds",
    )  # fmt: skip
    assert table.header == (
        "arm", "seeds", "coherence", "coherence, self", "coherence, joint", "Fréchet", "Fréchet, prior", "bound",
    )  # fmt: skip
    assert table.lines == (
        ("x", "2", "0.625 ± 0.177", "0.750 ± 0.000", "0.250 ± 0.000", "2.125 ± 0.884", "3.000 ± 0.000", "-100.0 ± 0.0"),
        ("y", "1", "0.250", "0.750", "0.250", "4.000", "3.000", "-100.0"),
    )
    assert table.best == {(0, 2), (0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (0, 6), (1, 6), (0, 7), (1, 7)}
    assert (table.labels, table.first) == (1, 2)


def test_one_seed_needs_no_column_of_seeds():
    table = generation_table(study(("x", 0, generated(0.5)), ("y", 0, generated(0.25, round_=4))), "s")
    assert table.caption == "test samples, rounds 2, 4, one seed"
    assert table.header[:2] == ("arm", "coherence")


def test_what_an_arm_lacks_is_a_line_and_who_was_not_measured_is_left_out():
    table = generation_table(study(("x", 0, generated(0.5, fid=80.0)), ("y", 0, generated(0.25)), ("z", 0, {})), "s")
    fid = table.header.index("FID")
    assert [line[0] for line in table.lines] == ["x", "y"]
    assert [line[fid] for line in table.lines] == ["80.00", "-"]
    assert not any(j == fid for _, j in table.best)  # one is no comparison


def test_an_undefined_figure_is_said():
    broken = figures(0.5)
    broken["a>b"]["coherence"] = None
    (table, pairs) = generation_tables(study(("x", 0, measured(broken)), ("y", 0, generated(0.5))), "s")
    assert [line[1] for line in table.lines] == ["n/a", "0.500"]
    assert pairs.lines[0] == ("x", "a", "1.000", "n/a")


def test_ranks_are_best_when_low_and_what_is_not_known_is_not_judged():
    found = [
        measured({"a>b": {"median_rank": rank, "top1": share, "colour": share, "top1_unmapped": 0.5}})
        for rank, share in ((3.0, 0.25), (120.0, 0.125))
    ]
    table = generation_table(study(("x", 0, found[0]), ("y", 0, found[1])), "s")
    assert table.header == ("arm", "top-1", "top-1, unmapped", "median rank", "colour")
    assert table.lines[1] == ("y", "0.125", "0.500", "120.0", "0.125")
    assert table.best == {(0, 1), (0, 2), (1, 2), (0, 3)}


def test_colours_are_a_column_and_each_colour_is_for_the_csv_alone():
    found = {"t>a": {"colours": 0.5, "colours_white": 1.0, "colours_black": 0.0, "reconstruction": 2.0},
             "a>a": {"reconstruction": 1.0}}  # fmt: skip
    results = study(("x", 0, measured(found)))
    table, pairs = generation_table(results, "s"), pair_table(results, "s")
    assert table.header == ("arm", "colours", "reconstruction", "reconstruction, self")
    assert table.lines == (("x", "0.500", "2.000", "1.000"),)
    assert pairs.title == "s: generation, reconstruction by pair"
    assert ",generation,colours_white,1.0" in summary_csv(results)


def test_a_line_an_arm_and_source_and_a_column_a_target():
    table = pair_table(study(("x", 0, generated(0.5)), ("x", 1, generated(0.75)), ("y", 0, generated(0.25))), "s")
    assert table.title == "s: generation, coherence by pair"
    assert table.caption == (
        "test samples, round 2, mean ± sample standard deviation over seeds; a line a source, a column a target"
    )
    assert table.header == ("arm", "given", "a", "b")
    assert table.lines == (
        ("x", "a", "1.000 ± 0.000", "0.500 ± 0.177"),
        ("x", "b", "0.750 ± 0.177", "0.500 ± 0.000"),
        ("y", "a", "1.000", "0.125"),
        ("y", "b", "0.375", "0.500"),
    )


@pytest.mark.parametrize(("count", "there"), [(1, False), (2, True), (6, True), (7, False)])
def test_pairs_of_one_or_of_more_than_six_modalities_are_no_table(count, there):
    names = "abcdefg"[:count]
    found = {f"{s}>{t}": {"cosine": 0.5} for s in names for t in names}
    table = pair_table(study(("x", 0, measured(found))), "s")
    assert (table is not None) == there
    if there:
        assert table.title == "s: generation, cosine by pair"
        assert len(table.lines) == len(table.header) - 2 == count


def test_nothing_measured_is_no_table():
    results = study(("x", 0, {}), ("y", 0, {"generation": None}))
    assert generation_tables(results, "s") == []
    assert judges_line(results, "s") == ""
    assert "eneration" not in report(results, ())


def test_the_judges_stand_beside():
    results = study(("x", 0, generated(0.5)), ("y", 0, generated(0.5, judges=(0.875, 0.9))))
    assert judges_line(results, "s") == "Judges' accuracy on real test samples: a 0.875, b 0.900 to 0.938"


def test_a_report_has_the_tables_and_what_they_mean():
    text = report(study(("x|y", 0, generated(0.5)), ("z", 0, generated(0.25))), ())
    assert "\nGeneration; test samples, round 2, one seed; bold: best:\n\n| arm | coherence | " in text
    assert "| x\\|y | **0.500** | **0.750** | **0.250** | **2.750** | **3.000** | **-100.0** |" in text
    assert "| x\\|y | a | 1.000 | 0.375 |" in text
    assert "\nJudges' accuracy on real test samples: a 0.875, b 0.938. Means are over targets of" in text


def test_the_csv_has_the_means_and_the_pairs_and_other_tables_do_not():
    results = study(("x", 0, generated(0.5)))
    lines = summary_csv(results).splitlines()
    assert lines[1] == "s,x0,0,x,test,loss,1.0"
    assert "s,x0,0,x,generation,coherence,0.5" in lines
    assert "s,x0,0,x,generation,coherence joint,0.25" in lines
    assert "s,x0,0,x,generation,coherence a>b,0.375" in lines
    assert "s,x0,0,x,generation,coherence >,0.25" in lines
    assert "s,x0,0,x,generation,bound all,-100.0" in lines
    assert len(lines) == 1 + 1 + 7 + 12
    assert scenario_table(results, "s").header == ("arm", "loss")
