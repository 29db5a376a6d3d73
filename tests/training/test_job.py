"""Which groups a method's globs name."""

import pytest
from torch import nn

from raysim.method import Group, Method

NAMES = ("task.imu[0]", "task.imu0", "task.a*", "task.ab", "task.head")


class Odd(Method):
    """Groups named after odd modalities."""

    def modules(self, task):
        return {name: Group(nn.Linear(1, 1)) for name in NAMES}

    def phases(self, task):
        return ()


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        (("task.imu[0]",), ["task.imu[0]"]),
        (("task.a*", "task.head"), ["task.a*", "task.head"]),
        (("task.*",), list(NAMES)),
        (("*.ab", "task.imu?"), ["task.imu0", "task.ab"]),
    ],
)
def test_a_name_means_itself_whatever_it_holds(toy, globs, found):
    assert list(toy.job(toy.data(), Odd).matching(globs)) == found


def test_a_glob_that_names_nothing_is_an_error(toy):
    with pytest.raises(ValueError, match=r"no group matches 'fin\.\*'; there are: task\.imu\[0\], "):
        toy.job(toy.data(), Odd).matching(("fin.*",))
