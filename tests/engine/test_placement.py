import math

import pytest

from raysim.engine.nodes import Cluster, Node
from raysim.engine.placement import ActorPlan, deal, enlarged, plan_actors, plan_slots, worth
from raysim.scenario.schema import Placement
from raysim.simulation.resolve import PlacementError

TWO_CORES, LAPTOP, GPU_BOX, CLUSTER = (
    Cluster.alike(2),
    Cluster.alike(4),
    Cluster.alike(16, 2),
    Cluster.alike(16, 2, nodes=4),
)


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
        ({"gpus_per_client": 0.5}, 10, GPU_BOX, "auto", (4, 1, 0.5)),
        ({"gpus_per_client": 0}, 10, GPU_BOX, "auto", (10, 1, 0)),
        ({"gpus_per_client": 0.1}, 100, GPU_BOX, "auto", (20, 1 / 2, 0.1)),
        ({"gpus_per_client": 2}, 10, CLUSTER, "auto", (4, 1, 2)),
        ({"gpus_per_client": 1, "actors": 8}, 10, CLUSTER, "auto", (8, 1, 1)),
    ],
)
def test_actors(placement, cohort, cluster, device, plan):
    found = plan_actors(Placement(**placement), cohort, cluster, device=device)
    assert (found.count, found.cpus, found.gpus) == plan


@pytest.mark.parametrize(
    ("placement", "slots", "cluster", "plan"),
    [
        ({}, 2, LAPTOP, (2, 1, 0)),
        ({}, 3, LAPTOP, (1, 1, 0)),
        ({}, 8, LAPTOP, (1, 1 / 2, 0)),
        ({"actors": 2}, 2, TWO_CORES, (2, 1 / 2, 0)),
        ({"actors": 3}, 2, TWO_CORES, (3, 1 / 3, 0)),
        ({}, 2, GPU_BOX, (4, 1, 0.25)),
        ({}, 3, GPU_BOX, (2, 1, 0.25)),
        ({"actors": 1}, 4, GPU_BOX, (1, 1, 0.25)),
    ],
)
def test_the_actors_of_all_slots_fit(placement, slots, cluster, plan):
    found = plan_actors(Placement(**placement), 10, cluster, device="auto", slots=slots)
    assert found == ActorPlan(*plan)
    assert slots * found.count * found.cpus <= cluster.cpus
    assert slots * found.count * found.gpus <= cluster.gpus


GIB = 2**30


@pytest.mark.parametrize(
    ("placement", "cohort", "trials", "cluster", "slots"),
    [
        ({}, 10, 1, TWO_CORES, 1),
        ({}, 10, 8, TWO_CORES, 1),  # 8 / 2**0.85 beats 4.5
        ({}, 10, 9, TWO_CORES, 1),
        ({}, 10, 10, TWO_CORES, 2),
        ({}, 1, 3, TWO_CORES, 2),  # a second actor would idle
        ({}, 10, 8, Cluster.alike(1), 1),
        ({}, 10, 6, LAPTOP, 1),
        ({}, 10, 30, LAPTOP, 3),
        ({}, 10, 1000, CLUSTER, 32),
        ({"actors": 2}, 10, 8, LAPTOP, 2),
        ({"actors": 3}, 10, 8, LAPTOP, 1),
        ({"actors": 9}, 10, 8, LAPTOP, 1),
        ({"actors": 1}, 10, 3, LAPTOP, 3),
        ({"clients_per_actor": 5}, 10, 8, LAPTOP, 2),
        ({"parallel_trials": 1}, 10, 8, LAPTOP, 1),
        ({"parallel_trials": 3}, 10, 8, TWO_CORES, 3),
        ({"parallel_trials": 3, "actors": 4}, 10, 8, TWO_CORES, 3),
        ({"parallel_trials": 9}, 10, 2, LAPTOP, 2),
        ({"parallel_trials": 2}, 10, 8, GPU_BOX, 2),
        ({}, 10, 8, GPU_BOX, 1),
        ({}, 10, 8, Cluster.alike(64), 8),
        ({"actors": 2}, 10, 8, GPU_BOX, 4),
        ({"gpus_per_client": 0.5}, 10, 30, GPU_BOX, 3),
        ({"gpus_per_client": 0}, 10, 8, GPU_BOX, 2),
        ({}, 10, 30, Cluster.alike(4, memory_bytes=8 * GIB), 3),
        ({}, 10, 30, Cluster.alike(4, memory_bytes=3 * GIB), 2),  # six processes: two servers, four actors
        ({}, 10, 8, Cluster.alike(4, memory_bytes=GIB / 2), 1),
        ({"actors": 1}, 10, 8, Cluster.alike(4, memory_bytes=3 * GIB), 3),
        ({"actors": 4}, 10, 8, Cluster.alike(4, memory_bytes=GIB / 2), 1),
        ({"parallel_trials": 4}, 10, 8, Cluster.alike(4, memory_bytes=GIB / 2), 4),
    ],
)
def test_slots(placement, cohort, trials, cluster, slots):
    assert plan_slots(Placement(**placement), cohort, trials, cluster, device="auto") == slots


@pytest.mark.parametrize(
    ("placement", "trials", "cluster", "slots"),
    [
        ({}, 1, TWO_CORES, 1),
        ({}, 8, TWO_CORES, 2),
        ({}, 3, LAPTOP, 3),
        ({}, 8, Cluster.alike(4, memory_bytes=3 * GIB), 3),
        ({"actors": 2}, 8, LAPTOP, 2),
        ({"parallel_trials": 1}, 8, LAPTOP, 1),
    ],
)
def test_short_rounds_leave_the_room_to_other_trials(placement, trials, cluster, slots):
    assert plan_slots(Placement(**placement), 10, trials, cluster, device="auto", short=True) == slots


@pytest.mark.parametrize(("cores", "trials"), [(2, 8), (4, 9), (5, 3), (16, 40)])
def test_slots_that_come_later_find_cpus_beside_the_first(cores, trials):
    cluster = Cluster.alike(cores)
    most = plan_slots(Placement(), 20, trials, cluster, device="cpu", short=True)
    first = plan_actors(Placement(), 20, cluster, device="cpu", slots=1, later=most)
    rest = plan_actors(Placement(), 20, cluster, device="cpu", slots=most, later=most)
    assert first.count * first.cpus + (most - 1) * rest.count * rest.cpus <= cores + 1e-9


def test_short_rounds_on_gpus_change_nothing():
    for short in (True, False):
        assert plan_slots(Placement(), 10, 8, GPU_BOX, device="auto", short=short) == 1


def test_more_actors_cost_more_messages():
    assert [worth(s, 8) for s in (0.0, 0.001, 0.016, 0.1, 10)] == [1, 1, 3, 7, 8]
    assert worth(10, 2) == 2


def test_auto_keeps_to_a_part_of_the_memory():
    for cores in (1, 2, 7, 64):
        for memory in (3 * GIB, 10 * GIB, 100 * GIB):
            for trials in (1, 2, 9, 500):
                cluster = Cluster.alike(cores, memory_bytes=memory)
                slots = plan_slots(Placement(), 20, trials, cluster, device="cpu")
                plan = plan_actors(Placement(), 20, cluster, device="cpu", slots=slots)
                assert slots * (1 + plan.count) * 350e6 <= 0.7 * memory


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (
            {"parallel_trials": 3, "actors": 4},
            "12 client actors (3 trials at a time) with 0.25 GPU each do not fit: there are 2 GPUs, which hold 8; "
            "lower placement.parallel_trials, placement.gpus_per_client or placement.actors, "
            "or raise placement.clients_per_actor",
        ),
        ({"parallel_trials": 9}, "9 client actors (9 trials at a time) with 0.25 GPU each do not fit"),
        ({"parallel_trials": 2, "actors": 9}, "9 client actors with 0.25 GPU each do not fit: there are 2 GPUs"),
    ],
)
def test_too_many_trials_at_a_time_for_the_gpus(placement, message):
    with pytest.raises(PlacementError) as caught:
        plan_slots(Placement(**placement), 10, 20, GPU_BOX, device="auto")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("placement", "cluster", "message"),
    [
        ({}, Cluster.alike(0), "Ray has no CPU to offer; start its nodes with --num-cpus of at least 1"),
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
    with pytest.raises(PlacementError):  # whatever the other trials need
        plan_slots(Placement(**placement), 10, 8, cluster, device="auto")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


HEAD = Cluster((Node("head", cpus=6), Node("a", cpus=1, gpus=1), Node("b", cpus=1, gpus=1)))
UNLIKE = Cluster((Node("small", cpus=2), Node("large", cpus=8)))


@pytest.mark.parametrize(
    ("placement", "cohort", "cluster", "device", "plan"),
    [
        ({}, 10, HEAD, "auto", (1 / 4, 1 / 4, "abababab")),  # the head has no GPU, a and b one core each
        ({}, 3, HEAD, "auto", (1 / 2, 1 / 4, "aba")),
        ({"strategy": "pack"}, 10, HEAD, "auto", (1 / 4, 1 / 4, "aaaabbbb")),
        ({}, 10, HEAD, "cpu", (1, 0, "habhhhhh")),
        ({"strategy": "pack"}, 10, HEAD, "cpu", (1, 0, "hhhhhhab")),
        ({"strategy": "pack"}, 3, HEAD, "cpu", (1, 0, "hhh")),
        ({"gpus_per_client": 1}, 10, HEAD, "auto", (1, 1, "ab")),
        ({"actors": 12}, 12, HEAD, "cpu", (1 / 2, 0, "habhhhhhhabh")),
        ({}, 5, UNLIKE, "auto", (1, 0, "sllll")),
        ({}, 10, UNLIKE, "auto", (1, 0, "sllllsllll")),
        ({}, 10, Cluster((Node("s", cpus=2), Node("l", cpus=8, memory_bytes=1e9))), "auto", (1, 0, "slsl")),
        ({}, 10, Cluster((Node("s", cpus=2), Node("l", cpus=8, used_cpus=6.5))), "auto", (1, 0, "sls")),
    ],
)
def test_actors_are_placed_by_node(placement, cohort, cluster, device, plan):
    found = plan_actors(Placement(**placement), cohort, cluster, device=device)
    assert (found.cpus, found.gpus, "".join(node[0] for node in found.places)) == plan
    assert found.count == len(found.places)


@pytest.mark.parametrize(("strategy", "places"), [("spread", ("sl", "ll", "ls", "ll")), ("pack", ("ss", *["ll"] * 3))])
def test_slots_share_the_nodes(strategy, places):
    plans = [
        plan_actors(Placement(strategy=strategy, actors=2), 10, UNLIKE, device="cpu", slots=4, slot=slot)
        for slot in range(4)
    ]
    assert tuple("".join(node[0] for node in plan.places) for plan in plans) == places


def test_a_gpu_of_two_nodes_is_no_pair_of_gpus():
    with pytest.raises(PlacementError) as caught:
        plan_slots(Placement(gpus_per_client=2), 10, 1, HEAD, device="auto")
    assert str(caught.value) == (
        "1 client actors with 2 GPU each do not fit: there are 2 GPUs on 3 nodes, which hold 0; lower "
        "placement.gpus_per_client or placement.actors, or raise placement.clients_per_actor"
    )


@pytest.mark.parametrize("strategy", ["spread", "pack"])
@pytest.mark.parametrize("gpus", [0.0, 0.25, 0.4, 1.0])
@pytest.mark.parametrize("wanted", [1, 2, 5])
def test_no_node_gets_more_than_it_has(strategy, gpus, wanted):
    for sizes in ([(6, 0), (1, 1), (1, 1)], [(3, 2), (16, 4)], [(0, 0), (2.5, 1)], [(1, 3), (4, 0), (7, 1)]):
        cluster = Cluster(tuple(Node(str(i), cpus=c, gpus=g) for i, (c, g) in enumerate(sizes)))
        placement = Placement(strategy=strategy, gpus_per_client=gpus, actors=wanted)
        slots = plan_slots(placement, 20, 3, cluster, device="cpu") if not gpus or wanted * gpus <= 1 else 1
        try:
            plans = [plan_actors(placement, 20, cluster, device="cpu", slots=slots, slot=i) for i in range(slots)]
        except PlacementError:
            assert sum(int(1 / gpus) * g if c else 0 for c, g in sizes) < wanted
            continue
        for i, (cpus, gpus_there) in enumerate(sizes):
            here = sum(plan.places.count(str(i)) for plan in plans)
            assert here * plans[0].cpus <= cpus + 1e-9
            assert here <= (int(1 / gpus) * gpus_there if gpus else math.inf)


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (LAPTOP, "4 cores, no GPU, 1 node"),
        (CLUSTER, "64 cores, 8 GPUs, 4 nodes"),
        (Cluster.alike(2, 1), "2 cores, 1 GPU, 1 node"),
    ],
)
def test_a_cluster_in_words(cluster, text):
    assert str(cluster) == text


@pytest.mark.parametrize(
    ("costs", "slowness", "dealt"),
    [
        ([1, 5, 2, 2], [1, 1], [[1], [0, 2, 3]]),
        ([1, 1, 1, 1, 1], [1, 1], [[0, 2, 4], [1, 3]]),
        ([3, 3, 2, 2, 2], [1, 1], [[0, 2, 4], [1, 3]]),
        ([4], [1, 1, 1], [[0], [], []]),
        ([4], [2, 1, 1], [[], [0], []]),
        ([1, 1, 1, 1, 1], [4, 1], [[3], [0, 1, 2, 4]]),
        ([1, 1, 1, 1, 1], [1, 2], [[0, 1, 3, 4], [2]]),
        ([], [1, 1], [[], []]),
    ],
)
def test_work_is_dealt_out_longest_first_to_who_ends_it_first(costs, slowness, dealt):
    assert deal(costs, slowness) == dealt


@pytest.mark.parametrize(
    ("slowness", "homes", "dealt"),
    [
        ([1, 1.1], [1, 0, 0], [[1, 2], [0]]),
        ([1, 2], [1, 0, 0], [[0, 2], [1]]),  # after 6 in place of 8
        ([1, 1], [1, 0, None], [[0], [1, 2]]),
        ([1, 1], [0, 0, 0], [[0], [1, 2]]),
    ],
)
def test_work_goes_where_it_was_if_that_ends_little_later(slowness, homes, dealt):
    assert deal([4, 2, 2], slowness, homes) == dealt


@pytest.mark.parametrize(
    ("peak_gib", "count", "gpus"),
    [(1, 8, 0.25), (16, 8, 0.25), (20, 6, 1 / 3), (30, 4, 0.5), (40, 2, 1.0), (100, 2, 1.0)],
)
def test_an_actor_that_needs_more_than_a_quarter_of_a_gpu_gets_more(peak_gib, count, gpus):
    plan = enlarged(ActorPlan(8, 1.0, 0.25), peak_gib * GIB, 80 * GIB)
    assert (plan.count, plan.gpus) == (count, pytest.approx(gpus))


@pytest.mark.parametrize(("peak_gib", "places"), [(16, "aaaabb"), (20, "aaab"), (30, "aab"), (40, "a"), (100, "a")])
def test_it_gets_more_of_the_node_where_it_is(peak_gib, places):
    plan = enlarged(ActorPlan(6, 1.0, 0.25, tuple("aabbaa")), peak_gib * GIB, 80 * GIB)
    assert ("".join(sorted(plan.places)), plan.count) == (places, len(places))
