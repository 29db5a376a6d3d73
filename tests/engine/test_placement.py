import pytest

from raysim.engine.placement import ActorPlan, Cluster, PlacementError, deal, plan_actors
from raysim.scenario.schema import Placement

LAPTOP, GPU_BOX, CLUSTER = Cluster(4, 0, 1), Cluster(16, 2, 1), Cluster(64, 8, 4)


@pytest.mark.parametrize(
    ("placement", "cohort", "cluster", "device", "plan"),
    [
        ({}, 10, LAPTOP, "auto", (4, 1, 0)),
        ({}, 3, LAPTOP, "auto", (3, 1, 0)),
        ({}, 1, LAPTOP, "cpu", (1, 1, 0)),
        ({"actors": 10}, 10, LAPTOP, "auto", (10, 1 / 3, 0)),
        ({"clients_per_actor": 1}, 10, LAPTOP, "auto", (10, 1 / 3, 0)),
        ({"clients_per_actor": 4}, 10, LAPTOP, "auto", (3, 1, 0)),
        ({"actors": 2, "clients_per_actor": 1}, 10, LAPTOP, "auto", (2, 1, 0)),
        ({}, 10, GPU_BOX, "auto", (8, 1, 0.25)),
        ({}, 10, GPU_BOX, "cuda", (8, 1, 0.25)),
        ({}, 10, GPU_BOX, "cpu", (10, 1, 0)),
        ({"gpus_per_client": 0.5}, 10, GPU_BOX, "cpu", (4, 1, 0.5)),
        ({"gpus_per_client": 0}, 10, GPU_BOX, "auto", (10, 1, 0)),
        ({"gpus_per_client": 0.1}, 100, GPU_BOX, "auto", (20, 1 / 2, 0.1)),
        ({"gpus_per_client": 2}, 10, CLUSTER, "auto", (4, 1, 2)),
        ({"gpus_per_client": 1, "actors": 8}, 10, CLUSTER, "auto", (8, 1, 1)),
    ],
)
def test_actors(placement, cohort, cluster, device, plan):
    assert plan_actors(Placement(**placement), cohort, cluster, device=device) == ActorPlan(*plan)


@pytest.mark.parametrize(
    ("placement", "cluster", "message"),
    [
        ({}, Cluster(0, 0, 1), "Ray has no CPU to offer; start its nodes with --num-cpus of at least 1"),
        (
            {"gpus_per_client": 0.5},
            LAPTOP,
            "1 client actors with 0.5 GPU each do not fit: there are 0 GPUs, which hold 0; lower",
        ),
        (
            {"gpus_per_client": 0.5, "actors": 5},
            GPU_BOX,
            "5 client actors with 0.5 GPU each do not fit: there are 2 GPUs, which hold 4",
        ),
        (
            {"gpus_per_client": 1, "clients_per_actor": 2},
            GPU_BOX,
            "5 client actors with 1 GPU each do not fit: there are 2 GPUs, which hold 2",
        ),
        ({"gpus_per_client": 1.5}, GPU_BOX, "placement.gpus_per_client is 1.5; above 1 Ray gives whole GPUs only"),
    ],
)
def test_what_does_not_fit_says_why(placement, cluster, message):
    with pytest.raises(PlacementError) as caught:
        plan_actors(Placement(**placement), 10, cluster, device="auto")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (LAPTOP, "4 cores, no GPU, 1 node"),
        (CLUSTER, "64 cores, 8 GPUs, 4 nodes"),
        (Cluster(2, 1, 1), "2 cores, 1 GPU, 1 node"),
    ],
)
def test_a_cluster_in_words(cluster, text):
    assert str(cluster) == text


@pytest.mark.parametrize(
    ("costs", "actors", "dealt"),
    [
        ([1, 5, 2, 2], 2, [[1], [0, 2, 3]]),
        ([1, 1, 1, 1, 1], 2, [[0, 2, 4], [1, 3]]),
        ([3, 3, 2, 2, 2], 2, [[0, 2, 4], [1, 3]]),
        ([4], 3, [[0], [], []]),
        ([], 2, [[], []]),
    ],
)
def test_work_is_dealt_out_longest_first(costs, actors, dealt):
    assert deal([float(c) for c in costs], actors) == dealt
