"""`raysim report` on folders that were written by hand."""

import json
import os
import re

import numpy as np
import pytest
from generation import generated, pictures
from studies import failed, grid_study, keep, small_study, summary, write_study

from raysim.cli.app import main
from raysim.report.files import packed


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def test_the_screen(here, capfd):
    write_study(here / "out", [summary("zero", 1, 0.25), summary("zero", 2, 0.5), summary("fin", 1, 0.75),
                               failed("fin", 2)], planned=3)  # fmt: skip
    assert main(["report", "out"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[:23] == [
        "3 of 7 trials finished, 1 failed; out",
        "",
        "study: test, mean ± sample standard deviation over seeds (* best)",
        "method  seeds       accuracy             uar",
        "zero        2  0.375 ± 0.177   0.188 ± 0.088",
        "fin         1          0.750*          0.375*",
        "",
        "study: test unmasked, mean ± sample standard deviation over seeds; unmasked: as",
        "the data has them (* best)",
        "method  seeds       accuracy             uar",
        "zero        2  0.625 ± 0.177   0.375 ± 0.177",
        "fin         1          1.000*          0.750*",
        "",
        "study: differences to zero: test accuracy, paired by seed; 95 % intervals",
        "arm                                   says  seeds  difference  over seeds",
        "fin  not tested: a test over seeds needs 3      1      +0.500           -",
        "",
        "arm  over samples  test  p  Holm",
        "fin             -     -  -     -",
        "",
        "study: 3 of 3 trials kept no predictions for test: no interval over samples",
        "there",
        "study: fin and zero: 1 seed that only one of them has is left out",
    ]
    assert "\nmethod  parameters  MACs/sample  MACs/round  steps  up/round  down/round      up\n" in out
    assert out.endswith("\nfailed: study method=fin seed=2: the loss is nan\n")
    assert max(map(len, out.splitlines())) <= 80


def test_a_page_of_a_matrix(here, capfd):
    grid_study(here / "out")
    (here / "out" / "study" / "learning_curves.png").write_bytes(b"")
    (here / "pages").mkdir()
    assert main(["report", "out", "--format", "md", "--split", "test", "--against", "zero", "--out", "pages/r.md"]) == 0
    text = (here / "pages" / "r.md").read_text()
    assert text.startswith("# Results\n\n8 of 8 trials finished.\n\n## study\n\n2 rounds; seeds 1, 2; ")
    assert (
        "\nTest accuracy, by missing.rate; mean ± sample standard deviation over 2 seeds; bold: best:\n\n"
        "| method | 0.25 | 0.5 |\n"
        "| :-- | --: | --: |\n"
        "| zero | **0.688 ± 0.088** | 0.438 ± 0.088 |\n"
        "| fin | 0.562 ± 0.088 | **0.688 ± 0.088** |\n"
    ) in text
    assert "| 0.5 | zero | 1,000 | 5.000 k | 6.000 M | 15 | 1.0 kB | 2.0 kB | 2.0 kB | 4.0 kB | 3.0 s | 2.0 s |" in text
    assert "| fin | task.head | 1.000 k | 0.00 | 1.500 k |\n|  | fin.* (2) | 2.000 k | 0.01 |  |" in text
    assert "| fin | all | 12.0 kB | 6.0 kB | 18.0 kB | 300.0 % |" in text
    assert text.endswith("\n![Learning curves of study](../out/study/learning_curves.png)\n")
    assert "unmasked" not in text
    assert capfd.readouterr() == ("pages/r.md\n", "")


def test_one_metric_of_several_folders(here, capfd):
    write_study(here / "a", [summary("zero", 1, 0.25)])
    write_study(here / "b", [summary("zero", 1, 0.75), summary("fin", 1, 0.5)])
    assert main(["report", "a", "b", "--metric", "uar", "--split", "test_unmasked"]) == 0
    out, err = capfd.readouterr()
    name = "study/method=zero,seed=1"
    assert err == f"{name}: is finished in several folders and counts once, in a/{name}, not in b/{name}\n"
    assert out.splitlines()[:6] == [
        "2 of 2 trials finished; a, b",
        "",
        "study: test unmasked, one seed; unmasked: as the data has them (* best)",
        "method    uar",
        "zero    0.250",
        "fin     0.500*",
    ]


def test_where_nothing_has_ended(here, capfd):
    write_study(here / "out", [], planned=2)
    assert main(["report", "out", "--metric", "uar"]) == 0
    assert capfd.readouterr() == ("0 of 2 trials finished; out\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such folder; name a folder that `raysim run` wrote"),
        (["."], ".: holds no study; name a folder that `raysim run` wrote"),
        (["out", "--metric", "f2"], "out: has no metric 'f2'; there are: accuracy, uar"),
        (["out", "--split", "validation"], "out: has no split 'validation'; there are: test, test_unmasked"),
        (["out", "--against", "gan"], "study: has no finished 'gan' to compare with; there are: zero, fin"),
        (["out", "--out", "out"], "out: cannot be written: Is a directory"),
        (["out", "--compare", "gan"], "study: has no finished 'gan' to compare with; there are: zero, fin"),
        (["out", "--out", "r.pdf"], "r.pdf: no report is written as '.pdf'; there are: .txt, .md, .html, .tex, .csv"),
        (
            ["out", "--out", "r.md", "--format", "csv"],
            "r.md: ends as md, and --format is csv; name it *.csv or leave one out",
        ),
    ],
)
def test_what_cannot_be_reported_is_one_line(here, capfd, arguments, message):
    small_study(here / "out")
    assert main(["report", *arguments]) == 2
    assert capfd.readouterr() == ("", f"{message}\n")


def test_a_broken_trial_is_told_and_the_rest_reported(here, capfd):
    small_study(here / "out")
    (here / "out/study/method=zero,seed=1/summary.json").write_text("{")
    assert main(["report", "out"]) == 0
    out, err = capfd.readouterr()
    assert err == "out/study/method=zero,seed=1/summary.json: is no JSON; this trial is left out\n"
    assert out.startswith("2 of 3 trials finished; out\n")


def test_pictures_are_drawn_where_there_is_something_to_draw(here, capfd):
    folder = small_study(here / "out") / "study" / "method=fin,seed=1"
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((6, 4)) for name in ("a", "a.filled", "b", "b.filled")}
    np.savez(folder / "features.npz", labels=np.arange(6), **arrays)
    clients = [{"id": 3, "own": "north", "counts": [1, 2]}, {"id": 5, "counts": [0, 4]}]
    (folder / "partition.json").write_text(json.dumps({"classes": ["x", "y"], "clients": clients}))
    (here / "out/study/method=zero,seed=1/features.npz").write_bytes(b"torn")
    assert main(["report", "out", "--format", "md"]) == 0
    out, err = capfd.readouterr()
    assert re.fullmatch(r"out/study/method=zero,seed=1/features\.npz: no picture of it: \w+: .*\n", err)
    assert out.splitlines()[-3:] == [
        "![Real and filled-in embeddings, method=fin,seed=1](out/study/method%3Dfin%2Cseed%3D1/features.png)",
        "",
        "![Samples by class and client, method=fin,seed=1](out/study/method%3Dfin%2Cseed%3D1/partition.png)",
    ]
    for name in ("features.png", "partition.png"):
        assert (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        (folder / name).write_bytes(b"kept")
    main(["report", "out"])
    assert (folder / "features.png").read_bytes() == b"kept"
    os.utime(folder / "features.png", (1, 1))  # the data is newer
    main(["report", "out"])
    assert (folder / "features.png").stat().st_size > 5_000
    assert (folder / "partition.png").read_bytes() == b"kept"


def test_what_was_made_in_several_folders(here, capfd):
    write_study(here / "a", [summary("zero", 1, 0.25) | generated(0.25)])
    write_study(here / "b", [summary("zero", 2, 0.5) | generated(0.5), summary("fin", 1, 0.75) | generated(0.75)])
    folder = here / "b/study/method=fin,seed=1"
    (folder / "generation.npz").write_bytes(packed(pictures(2, round=np.array(2))))
    (here / "a/study/generation_by_round.png").write_bytes(b"")
    (here / "a/study/method=zero,seed=1/generation.npz").write_bytes(b"torn")
    assert main(["report", "a", "b"]) == 0
    out, err = capfd.readouterr()
    assert re.fullmatch(r"a/study/method=zero,seed=1/generation\.npz: no picture of it: \w+: .*\n", err)
    assert "\nmethod  seeds      coherence   coherence, self   coherence, joint\n" in out
    assert "\nzero        2  0.375 ± 0.177     0.750 ± 0.000*     0.250 ± 0.000*\n" in out
    assert "\nfin     a              1.000          0.625\n" in out
    assert "\nJudges' accuracy on real test samples: a 0.875, b 0.938. Means are over targets" in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[-2:] == [
        "a/study/generation_by_round.png", "b/study/method=fin,seed=1/generation/overview.png",
    ]  # fmt: skip
    (folder / "generation" / "overview.png").write_bytes(b"kept")
    assert main(["report", "a", "b", "--format", "md"]) == 0
    assert (folder / "generation" / "overview.png").read_bytes() == b"kept"
    out = capfd.readouterr().out
    assert "| fin | 1 | **0.750** | **0.750** | **0.250** | **1.500** | **3.000** | **-100.0** |" in out
    assert out.endswith("![Made samples, method=fin,seed=1](b/study/method%3Dfin%2Cseed%3D1/generation/overview.png)\n")


def test_no_split_is_called_generation(here, capfd):
    write_study(here / "out", [summary("zero", 1, 0.25) | generated(0.25)])
    assert main(["report", "out", "--split", "validation"]) == 2
    assert capfd.readouterr().err == "out: has no split 'validation'; there are: test, test_unmasked\n"


def test_the_name_of_the_file_says_in_what_form(here, capfd):
    small_study(here / "out")
    for name, begins in (
        ("r.tex", "% Needs"), ("r.csv", "scenario,trial,seed,method,split,metric,value\n"),
        ("r.MD", "# Results\n"), ("r.txt", "3 of 3 trials finished; out\n"), ("plain", "3 of 3 trials finished; out\n"),
    ):  # fmt: skip
        assert main(["report", "out", "--out", name]) == 0
        assert (here / name).read_text().startswith(begins)
    assert main(["report", "out", "--out", "plain", "--format", "csv"]) == 0
    assert (here / "plain").read_text() == (here / "r.csv").read_text()
    assert capfd.readouterr() == ("r.tex\nr.csv\nr.MD\nr.txt\nplain\nplain\n", "")


def test_values_that_are_asked_for(here, capfd):
    small_study(here / "out")
    assert main(["report", "out", "--format", "csv", "--metric", "uar", "--split", "test"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "scenario,trial,seed,method,split,metric,value",
        'study,"method=zero,seed=1",1,zero,test,uar,0.125',
        'study,"method=zero,seed=2",2,zero,test,uar,0.25',
        'study,"method=fin,seed=1",1,fin,test,uar,0.375',
    ]


def test_comparisons_in_a_page_and_by_another_test(here, capfd):
    trials = [(m, s, v + s / 8) for m, v in (("fin_a", 0.25), ("fin_b", 0.125)) for s in (1, 2)]
    write_study(here / "out", [summary(m, s, v) for m, s, v in trials])
    for method, predicted in (("fin_a", [0] * 8), ("fin_b", [0] * 8)):
        for seed in (1, 2):
            keep(here / "out", f"method={method},seed={seed}", [0, 1] * 4, test=predicted)
    command = ["report", "out", "--format", "md", "--metric", "accuracy", "--compare", "fin_b"]
    assert main(command) == 0
    page = capfd.readouterr().out
    assert "Differences to fin_b; test accuracy, paired by seed; 95 % intervals:\n\n" in page
    assert "| fin_a | not tested: a test over seeds needs 3 | 2 | +0.125 | 0.125 to 0.125 | - | - | - | - |\n" in page
    said = "- method=fin_b,seed=1: its predictions give another accuracy than it reports: not resampled\n"
    assert said in page
    assert "method=fin_b,seed=2: its predictions" in page
    assert "Holm: p corrected for all of the table" in page
    assert main([*command, "--compare", "all", "--test", "wilcoxon", "--split", "test_unmasked"]) == 0
    assert "| fin_b | not tested: Wilcoxon needs 6 seeds | 2 | -0.125 |" in capfd.readouterr().out


def test_mcnemar_s_test_is_of_accuracy_alone(here, capfd):
    small_study(here / "out")
    assert main(["report", "out", "--metric", "uar", "--test", "mcnemar"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"study: McNemar's test counts right .* not of uar; add --metric accuracy, .*\n", err)
    assert main(["report", "out", "--metric", "accuracy", "--test", "mcnemar"]) == 0
    assert "not tested: no predictions" in capfd.readouterr().out


def test_tables_for_a_paper(here, capfd):
    write_study(here / "out", [summary("a_1&2", 1, 0.25), summary("zero", 1, 0.5), summary("zero", 2, 0.75)])
    assert main(["report", "out", "--format", "latex", "--metric", "accuracy"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[1] == "% 3 of 3 trials finished; out"
    table = lines[3:16]
    assert table == [
        r"\begin{table}",
        r"  \centering",
        r"  \caption{study: test, mean $\pm$ sample standard deviation over seeds; unmasked: as the data has them. "
        r"Bold: best.}",
        r"  \begin{tabular}{lrrr}",
        r"    \toprule",
        r"    method & seeds & accuracy & accuracy (unmasked) \\",
        r"    \midrule",
        r"    a\_1\&2 & 1 & 0.250 & 0.500 \\",
        r"    zero & 2 & \textbf{0.625 $\pm$ 0.177} & \textbf{0.875 $\pm$ 0.177} \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ]
    assert r"    a\_1\&2 & not tested: a test over seeds needs 3 & 1 & $-$0.250 & - & - & - & - & - \\" in lines
    assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 5
