from studies import grid_study, small_study, summary, write_study

from raysim.report.reading.folders import read
from raysim.report.tables.every import every_table
from raysim.report.tables.marks import Cell, second
from raysim.report.tables.tables import result_tables

SPLITS = ("test", "test_unmasked")


def test_all_tables_of_a_scenario(tmp_path):
    study = read([small_study(tmp_path)])
    assert [(g.group, g.table.caption.partition(",")[0]) for g in every_table(study, "study", SPLITS)] == [
        ("results", "test"), ("costs", "cost of a trial"), ("costs", "networks"),
        ("costs", "bytes of a trial by group"),
    ]  # fmt: skip


def test_many_figures_get_a_table_for_each_split(tmp_path):
    found = summary("zero", 1, 0.5)
    out = write_study(tmp_path, [found, summary("fin", 1, 0.75)])
    study = read([out])
    assert len([g for g in every_table(study, "study", SPLITS) if g.group == "results"]) == 1
    for trial, said in study.results.summaries:
        object.__setattr__(trial, "metrics", ("accuracy", "uar", "f1", "auc"))
        for values in said["splits"].values():
            values |= {"f1": 0.5, "auc": 0.5}
    captions = [g.table.caption for g in every_table(study, "study", SPLITS) if g.group == "results"]
    assert captions == ["test, one seed", "test unmasked, one seed; unmasked: as the data has them"]


def test_second_is_what_comes_after_all_that_are_best(tmp_path):
    column = [Cell(v, None, 1) for v in (0.5, 0.25, 0.5004, 0.125, 0.25)]
    assert (second(column, low=False), second(column, low=True)) == ([1, 4], [1, 4])
    assert second(column[:2], low=False) == []
    (table, _) = result_tables(read([grid_study(tmp_path)]).results, "study", SPLITS)
    assert (table.best, table.second) == ({(0, 1), (1, 2)}, set())
