"""Clusters in words."""

import pytest

from raysim.planning.described import described


def test_nodes_by_groups():
    first, second, third = described("2x(cpus=32, gpus=4xA100-80, memory=256G), (cpus=64)").nodes
    assert (first.cpus, first.gpus, first.gpu, first.memory_bytes) == (32, 4, "A100-80", 256e9)
    assert (first.gpu_bytes, third.gpu_bytes) == (80e9, None)
    assert (second.name, second.gpus) == ("node2", 4)
    assert (third.cpus, third.gpus, third.gpu, third.memory_bytes) == (64, 0, "", None)
    assert len({node.id for node in (first, second, third)}) == 3


@pytest.mark.parametrize(
    "text", ["(cpus=1,memory=1.5T)", "1x(cpus=1,memory=1500GB)", " ( cpus = 1 , memory = 1500GiB ) "]
)
def test_sizes(text):
    (node,) = described(text).nodes
    assert node.memory_bytes == 1.5e12


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nodes look like 2x(cpus=32"),
        ("2x", "'2x': nodes look like"),
        ("(cpus=2) and (cpus=3)", "'and (cpus=3)': nodes look like"),
        ("(cpus=0)", "(cpus=0): cpus= must be the node's cores, a whole number of at least 1"),
        ("(gpus=1)", "(gpus=1): cpus= must be"),
        ("(cpus=1.5)", "a whole number"),
        ("(cpus=1,cpus=2)", "'cpus=2': a node has cpus=, gpus= and memory=, each once"),
        ("(cpus=1,ram=2G)", "'ram=2G': a node has"),
        ("(cpus=1,gpus=A100)", "gpus=A100: must be how many"),
        ("(cpus=1,memory=256)", "memory=256: must be a size such as 256G"),
        ("0x(cpus=1)", "0 nodes: must be from 1 to 10,000 in all"),
        ("10001x(cpus=1)", "10001 nodes"),
    ],
)
def test_what_is_no_description_is_refused(text, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        described(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
