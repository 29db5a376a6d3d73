"""Three hosts with a Ray cluster on them, one core each."""

import pytest
from lan import Lan, obstacle

CLUSTER = 3


@pytest.fixture(scope="module")
def lan():
    """The first is the head, from which studies are started."""
    if reason := obstacle():
        pytest.skip(reason)
    with Lan(CLUSTER, "100mbit") as made:
        for host in range(1, CLUSTER + 1):
            made.ray(host, "--num-cpus=1")
        yield made
