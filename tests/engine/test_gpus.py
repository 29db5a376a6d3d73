"""What GPUs hold, as Ray's labels, torch and people call them."""

import pytest

from raysim.engine.gpus import memory_of


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("A100", 40),
        ("A100-80", 80),
        ("A100-80G", 80),
        ("NVIDIA A100-SXM4-80GB", 80),
        ("nvidia-h100-80gb-hbm3", 80),
        ("NVIDIA H200", 141),
        ("Tesla T4", 15),
        ("Tesla-V100-SXM2-32GB", 32),
        ("A10G", 24),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5),
        ("AMD-Instinct-MI300X-OAM", 192),
    ],
)
def test_a_size_in_the_name_comes_before_the_models(name, gigabytes):
    assert memory_of(name) == gigabytes * 1e9


@pytest.mark.parametrize("name", ["", "ours", "NVIDIA GeForce RTX 3090", "GTX 980", "TPU-V4"])
def test_other_names_do_not_say(name):
    assert memory_of(name) is None
