import pytest

from raysim.data.subsets import subsets


def shown(count, choice):
    return ["".join(found) for found in subsets(tuple("abcdefg"[:count]), choice)]


def test_all_of_three_by_size():
    assert shown(3, "all") == ["a", "b", "c", "ab", "ac", "bc", "abc"]
    assert shown(3, "singles") == ["a", "b", "c", "abc"]
    assert shown(3, "none") == []


@pytest.mark.parametrize(("count", "found"), [(1, 1), (2, 3), (5, 31), (6, 6 + 15 + 6 + 1), (7, 7 + 21 + 7 + 1)])
def test_how_many(count, found):
    several = shown(count, "all")
    assert len(several) == len(set(several)) == found
    assert len(shown(count, "singles")) == (count + 1 if count > 1 else 1)


def test_of_six_modalities_triples_are_left_out():
    assert {len(s) for s in shown(6, "all")} == {1, 2, 5, 6}
