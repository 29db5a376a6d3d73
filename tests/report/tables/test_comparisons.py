"""Differences, their tests and what they allow to be said."""

import numpy as np
import pytest

from raysim.report.reading.pairs import Compared, Pair
from raysim.report.tables.comparisons import Untestable, comparison


def pair(*values, where=(), arm="fin", against="zero", **more):
    return Pair(where, arm, against, tuple(range(len(values))), 0, values, **more)


def lines(*pairs, wish=None):
    found = comparison("study", Compared("accuracy", "test", pairs), wish)
    return found.table.header, found.table.lines


def test_one_seed_has_samples_alone():
    replicates = np.linspace(0.0, 0.2, 2001)
    header, (line,) = lines(pair((0.75, 0.5), replicates=replicates, discordant=((30, 5),)))
    assert header == ("arm", "says", "seeds", "difference", "over seeds", "over samples", "test", "p", "Holm")
    assert line == (
        "fin",
        "above on these samples",
        "1",
        "+0.250",
        "-",
        "0.005 to 0.195",
        "McNemar",
        "<0.001",
        "<0.001",
    )


def test_two_seeds_without_predictions_have_no_test():
    _, (line,) = lines(pair((0.75, 0.5), (0.75, 0.7)))
    # mean 0.15, s = 0.141421, t(1, 0.975) = 12.7062
    said = "not tested: a test over seeds needs 3"
    assert line == ("fin", said, "2", "+0.150", "-1.121 to 1.421", "-", "-", "-", "-")


@pytest.mark.parametrize(("low", "holds"), [(0.01, "excludes"), (-0.1, "includes"), (-0.3, "excludes")])
def test_where_nothing_counts_samples_their_interval_has_the_word(low, holds):
    replicates = np.linspace(low, low + 0.2, 2001)
    _, (line,) = lines(pair((0.75, 0.5), (0.75, 0.7), replicates=replicates))
    assert line[1] == f"not tested: 2 seeds; the interval over samples {holds} zero"
    assert line[-3:] == ("-", "-", "-")


def test_three_seeds_have_a_t_test_over_them():
    close = pair((0.81, 0.70), (0.80, 0.70), (0.79, 0.70))
    _, (line,) = lines(close, wish=None)
    # t = 0.1 √3 / 0.01 = 17.32, 2 degrees of freedom
    assert line[1:] == ("above", "3", "+0.100", "0.075 to 0.125", "-", "paired t", "0.003", "0.003")
    far = pair((0.7, 0.8), (0.8, 0.7), (0.75, 0.8))
    assert lines(far)[1][0][1] == "not distinguishable with 3 seeds"


def test_holm_counts_all_pairs_of_the_table():
    below = [pair((0.70, 0.81), (0.70, 0.80), (0.70, 0.79), arm=f"a{i}") for i in range(20)]
    _, found = lines(*below)
    assert {(line[1], *line[-2:]) for line in found} == {("not distinguishable with 3 seeds", "0.003", "0.066")}


def test_wilcoxon_needs_six_seeds():
    five, six = ([(0.5 + i / 100, 0.4) for i in range(n)] for n in (5, 6))
    few, enough = (lines(pair(*values), wish="wilcoxon")[1][0] for values in (five, six))
    assert (few[1], few[-3:]) == ("not tested: Wilcoxon needs 6 seeds", ("-", "-", "-"))
    assert (enough[1], enough[-3:]) == ("above", ("Wilcoxon", "0.031", "0.031"))


def test_differences_that_are_all_alike_have_no_t_test():
    (line,) = lines(pair((0.75, 0.5), (0.75, 0.5), (0.75, 0.5)))[1]
    assert (line[1], line[-3]) == ("not tested: all differences are alike", "-")


def test_what_is_asked_for_and_cannot_be_tested_is_told():
    two = pair((0.75, 0.5), (0.75, 0.7))
    assert lines(two, wish="t")[1][0][1] == "not tested: paired t needs 3 seeds"
    assert lines(two, wish="mcnemar")[1][0][1] == "not tested: no predictions"
    several = pair((0.75, 0.5), (0.75, 0.7), replicates=np.linspace(0.0, 0.2, 2001))
    assert lines(several, wish="mcnemar")[1][0][1] == "not tested: samples have several labels"
    with pytest.raises(
        Untestable, match=r"^study: McNemar's test counts right predictions, .* not of uar; add --metric"
    ):
        comparison("study", Compared("uar", "test", (two,)), "mcnemar")


def test_a_column_says_with_whom_where_that_varies_and_one_for_each_other_axis():
    one = pair((0.75, 0.5), where=(("missing.rate", "0.5"),))
    other = pair((0.75, 0.5), where=(("missing.rate", "0.8"),), against="vae")
    found = comparison("study", Compared("uar", "test_unmasked", (one, other), ("a note",)))
    assert found.table.header[:3] == ("missing.rate", "arm", "against")
    assert [line[:3] for line in found.table.lines] == [("0.5", "fin", "zero"), ("0.8", "fin", "vae")]
    assert (found.table.title, found.notes) == ("study: differences", ("a note",))
    assert found.table.caption == "test unmasked uar, paired by seed; 95 % intervals"


@pytest.mark.parametrize(("others", "says"), [(1, "1 seed that only one of them has is"), (2, "2 seeds that")])
def test_seeds_that_are_left_out_are_told(others, says):
    found = comparison("study", Compared("accuracy", "test", (Pair((), "fin", "zero", (1,), others, ((0.5, 0.5),)),)))
    assert found.notes[0].startswith(f"fin and zero: {says}")
