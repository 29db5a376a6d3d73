"""Slots and the study that drives them, with servers that only say what they are told to. No Ray is started."""

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, RayError

from raysim.engine import allotment, room, slot, supply
from raysim.engine import study as driver
from raysim.engine.nodes import Cluster, Node
from raysim.engine.server import Advanced, Started
from raysim.engine.study import Study, Task
from raysim.generation.judges import Judges
from raysim.report.events import (
    Doing,
    RoundFinished,
    StudyFinished,
    StudyPlanned,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    Warned,
)
from raysim.scenario.errors import ScenarioError
from raysim.simulation.faults import Severed, TrialLost

SUMMARY = {"round": 1, "splits": {}, "seconds_s": 1.0}
DEAD = ActorDiedError()
TWO_CORES = Cluster.alike(2)
TWO = "placement.parallel_trials=2"


class Lost(RayError, TrialLost):
    """As Ray raises it here, when a server has raised it."""


class CutOff(RayError, Severed):
    """Likewise."""


class FakeServer:
    """Its answer to `advance` is the next of its trial's script: a list of event types, or an error."""

    def __init__(self, ray):
        self._ray, self.started, self.fewer, self.more = ray, [], [], []
        self.start, self.advance = SimpleNamespace(remote=self._start), SimpleNamespace(remote=self._advance)

    def _start(self, trial, info, data, plan, snapshot, fewer):
        self.started.append((info.name, plan.count))
        self.fewer.append(fewer)
        script = self._ray.scripts.get(info.name, ["round", "end"])
        if isinstance(script[0], list):  # one for each server
            script = script.pop(0)
        self._info, self._script = info, list(script)
        return self._ray.reference(Started(trial, plan.count, "plan"))

    def _advance(self, budget_s, cost_s, more=None):
        self.more += [] if more is None else [more.count]
        step = self._script.pop(0) if self._script else "wait"  # a trial that has ended
        made = {
            "wait": [], "end": [TrialFinished(self._info, SUMMARY)],
            "round": [RoundFinished(self._info, 1, {"train_s": 1.0})],
            "round 2": [RoundFinished(self._info, 2, {"train_s": 1.0})],
            "short": [RoundFinished(self._info, 1, {"train_s": 0.01})],
            "warning": [Warned("hm")], "fail": [TrialFailed(self._info, "no such luck")],
        }  # fmt: skip
        answer = made.get(step, step)
        known = Advanced(answer, None) if isinstance(answer, list) else answer
        return self._ray.reference(known, late=step == "never")


@dataclass
class FakeRay:
    """References are numbers; all but the late ones are ready at once."""

    scripts: dict[str, list] = field(default_factory=dict)
    servers: list[FakeServer] = field(default_factory=list)
    killed: list[FakeServer] = field(default_factory=list)
    answers: dict[int, object] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)

    def reference(self, value, *, late=False):
        number = len(self.answers)
        self.answers[number] = value
        if late:
            self.late.add(number)
        return number

    def remote(self, kind):
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._server))

    def _server(self, paths):
        self.servers.append(FakeServer(self))
        return self.servers[-1]

    def wait(self, references, num_returns=1, timeout=None):
        ready = [r for r in references if r not in self.late]
        return ready, [r for r in references if r in self.late]

    def get(self, reference):
        value = self.answers[reference]
        if isinstance(value, BaseException):
            raise value
        return value

    def put(self, value):
        return self.reference(value)

    def kill(self, server):
        self.killed.append(server)


class Recorder:
    def __init__(self):
        self.events = []

    def handle(self, event):
        self.events.append(event)

    def close(self):
        pass


@pytest.fixture
def run(monkeypatch, small, tmp_path):
    """Runs trials named by their seeds; scripts by seed. Returns what was told, the fake Ray and the exit status."""

    def run(
        scripts=None,
        *settings,
        trials=3,
        cluster=TWO_CORES,
        judges=None,
        wait_s=0.0,
        neighbours=None,
        joins=None,
        planner=None,
        **by_seed,
    ):
        ray = FakeRay({f"seed={seed}": script for seed, script in (scripts or {}).items()})
        monkeypatch.setattr(driver, "_ray", ray)
        monkeypatch.setattr(supply, "_ray", ray)
        monkeypatch.setattr(supply, "learning", lambda trial, dataset, here: ray.reference(judges))
        made = [small.trial(f"seeds=[{i}]", *settings, *by_seed.get(f"seed_{i}", ())) for i in range(trials)]
        names = [f"seed={i}" for i in range(trials)]
        assert [t.name for t in made] == names
        recorder = Recorder()
        looks = list(cluster) if isinstance(cluster, list) else [cluster]
        tasks = [Task.of(i, t) for i, t in enumerate(made)]
        study = Study(tasks, tmp_path, [recorder], cluster=looks[0], neighbours=neighbours)
        study.usage, study.planner, part = SimpleNamespace(now=lambda: None), planner, study.allotment
        part.look, part.company = lambda: looks.pop(0) if len(looks) > 1 else looks[0], lambda: "'train.py' on 10.0.0.7"
        part.joined = lambda: False
        if joins is not None:  # after the first round
            part.joined = lambda: any(isinstance(event, RoundFinished) for event in recorder.events)
            part.look = lambda: joins if part.joined() else cluster
        return recorder.events, ray, study.all_trials(wait_s)

    return run


def names(events, kind):
    return [e.trial.name for e in events if isinstance(e, kind)]


def test_trials_are_handed_to_free_slots_and_servers_stay(run):
    events, ray, status = run({0: ["round", *["wait"] * 9, "end"]}, TWO, trials=4)
    assert status == 0
    assert isinstance(events[0], StudyStarted)
    assert (events[0].slots, events[0].hardware) == (2, "2 cores, no GPU, 1 node, 2 trials at a time")
    assert names(events, TrialStarted) == ["seed=0", "seed=1", "seed=2", "seed=3"]
    assert names(events, TrialFinished) == ["seed=1", "seed=2", "seed=3", "seed=0"]
    assert [s.started for s in ray.servers] == [[("seed=0", 1)], [("seed=1", 1), ("seed=2", 1), ("seed=3", 1)]]
    assert ray.killed == []


def test_servers_do_not_stay_after_long_trials(run, monkeypatch):
    monkeypatch.setattr(slot, "LONG", 0)
    monkeypatch.setattr(slot, "LONG_S", 0.0)
    events, ray, status = run({}, trials=3)
    assert status == 0
    assert names(events, TrialFinished) == ["seed=0", "seed=1", "seed=2"]
    assert [[name for name, _ in server.started] for server in ray.servers] == [["seed=0"], ["seed=1"], ["seed=2"]]
    assert ray.killed == ray.servers


def test_the_plan_is_told_beside_the_study_and_of_all_its_trials(run):
    def planned(trials, cluster, slots):
        return StudyPlanned((f"{len(trials)} trials, {slots} at a time on {cluster}",), {"slots": slots})

    events, _, status = run(None, TWO, trials=3, planner=planned)
    told = [event for event in events if isinstance(event, StudyPlanned)]
    assert (status, told) == (0, [StudyPlanned(("3 trials, 2 at a time on 2 cores, no GPU, 1 node",), {"slots": 2})])


def test_without_a_plan_the_study_goes_on_and_says_so(run):
    def planned(trials, cluster, slots):
        raise ValueError("no\nsuch luck")

    events, _, status = run(trials=2, planner=planned)
    assert (status, names(events, TrialFinished)) == (0, ["seed=0", "seed=1"])
    assert Warned("there is no plan: no\\nsuch luck") in events


def test_a_long_plan_delays_no_trial(run, monkeypatch):
    ended, handle = threading.Event(), Recorder.handle

    def hear(self, event):
        handle(self, event)
        if isinstance(event, TrialFinished):
            ended.set()

    def planned(trials, cluster, slots):
        assert ended.wait(60)
        return StudyPlanned(("late",), {})

    monkeypatch.setattr(Recorder, "handle", hear)
    kinds = [type(event) for event in run(trials=1, planner=planned)[0]]
    assert kinds.index(TrialFinished) < kinds.index(StudyPlanned) < kinds.index(StudyFinished)


def test_a_server_has_its_next_call_before_the_sinks_hear_of_the_last(run, monkeypatch):
    asked = []
    advance = FakeServer._advance
    monkeypatch.setattr(FakeServer, "_advance", lambda self, *a: asked.append(len(told)) or advance(self, *a))
    told = []
    monkeypatch.setattr(Recorder, "handle", lambda self, event: (self.events.append(event), told.append(event)))
    run({0: ["round", "round 2", "end"]}, trials=1)
    first = next(i for i, event in enumerate(told) if isinstance(event, RoundFinished))
    assert asked == [first, first, first, first + 1]  # two ahead, and one more before each answer is told


def test_a_node_that_joins_is_told_to_trials_under_way(run):
    script, joins = ["round", "round 2", "end"], Cluster((Node("a", cpus=2), Node("b", cpus=1)))
    _, ray, _ = run({0: script}, trials=1, joins=joins)
    assert (ray.servers[0].started, set(ray.servers[0].more)) == ([("seed=0", 2)], {3})
    _, ray, _ = run({0: script}, "placement.actors=2", trials=1, joins=joins)
    assert set(ray.servers[0].more) == {2}
    _, ray, _ = run({0: script}, trials=1, joins=Cluster(()))
    assert ray.servers[0].more == []


def test_a_node_that_joins_runs_trials_that_wait(run):
    script, joins = ["round", "round 2", "end"], Cluster((Node("a", cpus=2), Node("b", cpus=2)))
    _, ray, _ = run({0: script}, "placement.actors=2", joins=joins)
    assert [s.started for s in ray.servers] == [[("seed=0", 2), ("seed=2", 2)], [("seed=1", 2)]]
    _, ray, _ = run({0: script}, "placement.parallel_trials=1", joins=joins)
    assert [s.started for s in ray.servers] == [[("seed=0", 2), ("seed=1", 4), ("seed=2", 4)]]
    assert set(ray.servers[0].more) == {4}


def test_a_trial_whose_samples_are_files_of_one_node_stays_there(run, monkeypatch):
    script, joins = ["round", "round 2", "end"], Cluster((Node("a", cpus=2), Node("b", cpus=2)))
    loaded = []
    monkeypatch.setattr(supply, "in_memory", lambda dataset: loaded.append(dataset) or dataset)
    monkeypatch.setattr(supply, "maps_files", lambda dataset: not loaded)
    _, ray, _ = run({0: script}, "placement.parallel_trials=1", trials=2, joins=joins)
    assert ray.servers[0].started == [("seed=0", 2), ("seed=1", 4)]
    assert (ray.servers[0].more[0], len(loaded)) == (2, 1)


def test_one_slot_runs_them_in_order(run):
    events, ray, status = run({}, "placement.parallel_trials=1")
    assert (status, len(ray.servers)) == (0, 1)
    assert events[0].hardware == "2 cores, no GPU, 1 node"
    assert names(events, TrialFinished) == ["seed=0", "seed=1", "seed=2"]
    assert [count for _, count in ray.servers[0].started] == [2, 2, 2]


def test_the_second_slot_begins_after_the_first_round(run):
    events, _, _ = run({0: ["wait", "wait", "round", "wait", "end"]}, TWO)
    kinds = [type(e) for e in events]
    assert kinds.index(RoundFinished) < [i for i, kind in enumerate(kinds) if kind is TrialStarted][1]


def test_the_second_slot_does_not_wait_for_ever(run, monkeypatch):
    monkeypatch.setattr(driver, "HEAD_START_S", 0.0)
    events, _, _ = run({0: [*["wait"] * 9, "round", "end"]}, TWO)
    assert names(events, RoundFinished)[:2] == ["seed=1", "seed=2"]


@pytest.mark.parametrize(("rounds", "servers"), [(["round", "short", "short"], 2), (["round"] * 3, 1)])
def test_short_rounds_make_room_for_a_second_trial(run, rounds, servers):
    events, ray, status = run({0: [*rounds, *["wait"] * 9, "end"]}, trials=8)
    assert (status, events[0].slots, len(ray.servers)) == (0, 1, servers)
    assert len(names(events, TrialFinished)) == 8
    assert {count for server in ray.servers for _, count in server.started[1:]} == {3 - servers}


def test_a_failed_trial_leaves_the_others_alone(run):
    events, ray, status = run({0: ["round", "fail"], 1: ["warning", "round", "end"]}, TWO)
    assert (status, ray.killed) == (1, [])
    assert names(events, TrialFailed) == ["seed=0"]
    assert names(events, TrialFinished) == ["seed=2", "seed=1"]
    assert [(e.text, e.trial.name) for e in events if isinstance(e, Warned)] == [("hm", "seed=1")]
    assert (events[-1].finished, events[-1].failed) == (2, 1)


def test_a_dead_server_gets_a_successor_that_goes_on(run):
    scripts = {0: [["round", DEAD], ["round", "end"]], 1: ["round", *["wait"] * 9, "end"]}
    events, ray, status = run(scripts, TWO)
    assert status == 0
    assert [s.started for s in ray.servers] == [[("seed=0", 1)], [("seed=1", 1)], [("seed=0", 1), ("seed=2", 1)]]
    assert [s.fewer for s in ray.servers] == [[False], [False], [True, False]]
    assert ray.killed == [ray.servers[0]]
    assert names(events, TrialStarted) == ["seed=0", "seed=1", "seed=0", "seed=2"]
    (warning,) = [e for e in events if isinstance(e, Warned)]
    assert re.fullmatch(r"the trial goes on from its last checkpoint, on another server actor: .+", warning.text)
    assert warning.trial.name == "seed=0"


def test_a_server_that_lost_a_trial_gets_it_again_once(run):
    lost, text = Lost("a state is lost"), "the trial goes on from its last checkpoint"
    events, ray, status = run({0: [["round", lost], ["end"]]}, trials=1)
    assert (status, len(ray.servers), ray.killed) == (0, 1, [])
    assert [e.text for e in events if isinstance(e, Warned)] == [f"{text}: a state is lost"]
    events, ray, status = run({0: [["round", lost], [lost], ["end"]]}, trials=1)
    assert (status, len(ray.servers), ray.killed) == (0, 2, ray.servers[:1])
    assert [e.text for e in events if isinstance(e, Warned)][1] == f"{text}, on another server actor: a state is lost"


def test_a_server_that_does_not_reach_a_node_any_more_is_replaced_at_once(run):
    _, ray, status = run({0: [["round", CutOff("nothing comes there")], ["end"]]}, trials=1)
    assert (status, len(ray.servers), ray.killed) == (0, 2, ray.servers[:1])


def test_servers_that_die_before_any_new_round_fail_their_trial_in_the_end(run):
    events, ray, status = run({0: ["round", DEAD]}, "placement.parallel_trials=1", "placement.max_failures=2")
    assert status == 1
    (failed,) = [e for e in events if isinstance(e, TrialFailed)]
    assert failed.trial.name == "seed=0"
    assert re.fullmatch(r"the server actor is gone 3 times in a row: .+", failed.error)
    assert len(names(events, RoundFinished)) == 3 + 2  # the same round again and again, which is no progress
    assert ray.killed == ray.servers[:3]
    assert names(events, TrialFinished) == ["seed=1", "seed=2"]


def test_progress_forgives_the_deaths_before(run):
    scripts = [["round", DEAD], [DEAD], ["round", "round 2", DEAD], [DEAD], ["end"]]
    events, _, status = run({0: scripts}, "placement.parallel_trials=1", "placement.max_failures=2", trials=1)
    assert (status, names(events, TrialFailed)) == (0, [])


def test_a_silent_server_fails_its_trial_alone(run, monkeypatch):
    monkeypatch.setattr(slot, "SERVER_GRACE_S", 0.0)
    events, ray, status = run({0: ["round", "never"]}, TWO, "placement.start_timeout_s=0.05")
    assert status == 1
    assert names(events, TrialFinished) == ["seed=1", "seed=2"]
    (failed,) = [e for e in events if isinstance(e, TrialFailed)]
    assert failed.error == (
        "the server actor is gone: no answer for 0.05 s; raise placement.start_timeout_s if it needs longer"
    )
    assert ray.killed == [ray.servers[0]]


def test_what_does_not_fit_is_refused_before_anything_starts(run):
    with pytest.raises(ScenarioError) as caught:
        run({}, TWO, seed_1=["placement.gpus_per_client=1"])
    assert "1 client actors with 1 GPU each do not fit: there are 0 GPUs, which hold 0; lower" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_cluster_holds_no_more_is_said_when_its_turn_comes(run):
    shrinks = [Cluster.alike(2, 1), Cluster.alike(2, 1), Cluster.alike(2)]
    events, ray, status = run({}, seed_1=["placement.gpus_per_client=1"], cluster=shrinks)
    assert status == 1
    (failed,) = [e for e in events if isinstance(e, TrialFailed)]
    assert failed.trial.name == "seed=1"
    assert "1 client actors with 1 GPU each do not fit: there are 0 GPUs, which hold 0; lower" in failed.error
    assert names(events, TrialFinished) == ["seed=0", "seed=2"]
    assert len(ray.servers) == 1


BUSY = Cluster((Node("a", "host", 2, used_cpus=1.5),))


def test_a_busy_cluster_is_refused_at_once_with_who_is_at_work_there(run, monkeypatch):
    monkeypatch.setattr(room, "SETTLE_S", 0.0)
    with pytest.raises(ScenarioError) as caught:
        run({}, cluster=BUSY)
    line = "no room for 1 client actor: 0.5 of 2 cores are free, beside 'train.py' on 10.0.0.7; wait for it with "
    assert str(caught.value).endswith(f"placement: {line}--wait-for SECONDS")


def test_what_others_use_is_left_to_them(run, monkeypatch):
    monkeypatch.setattr(room, "SETTLE_S", 0.0)
    _, ray, status = run({}, trials=1, cluster=Cluster((Node("a", cpus=4, used_cpus=1.5),)))
    assert (status, ray.servers[0].started) == (0, [("seed=0", 2)])


def test_actors_that_are_just_ending_are_waited_for(run, monkeypatch):
    monkeypatch.setattr(allotment, "BUDGET_S", 0.0)
    _, ray, status = run({}, trials=1, cluster=[BUSY, BUSY, TWO_CORES])
    assert (status, ray.servers[0].started) == (0, [("seed=0", 2)])


def test_it_waits_for_nodes_that_still_join(run, monkeypatch):
    monkeypatch.setattr(allotment, "BUDGET_S", 0.0)
    joining = [Cluster.alike(1, nodes=n) for n in (1, 1, 2, 3)]
    events, ray, status = run({}, "placement.actors=3", trials=1, cluster=joining, wait_s=60)
    assert (status, ray.servers[0].started) == (0, [("seed=0", 3)])
    begin = "waiting for room on the cluster: 3 client actors wait for a core each, and there"
    assert [e.text for e in events if isinstance(e, Doing)] == [
        f"{begin} are 1", f"{begin} are 2", "starting client actors",
    ]  # fmt: skip


def test_what_others_give_back_bit_by_bit_is_waited_for(run, monkeypatch):
    monkeypatch.setattr(allotment, "BUDGET_S", 0.05)
    monkeypatch.setattr(room, "SETTLE_S", 0.2)
    full, half, free = (Cluster((Node("a", cpus=4, gpus=2, used_gpus=used),)) for used in (2, 1, 0))
    _, ray, status = run({}, "placement.gpus_per_client=1", trials=1, cluster=[*[full] * 6, half, free], wait_s=60)
    assert (status, ray.servers[0].started) == (0, [("seed=0", 2)])


def test_it_waits_no_longer_than_it_may(run, monkeypatch):
    monkeypatch.setattr(allotment, "BUDGET_S", 0.0)
    with pytest.raises(ScenarioError, match=r"3 client actors wait for a core each, and there are 2, 0.02 s later$"):
        run({}, "placement.actors=3", wait_s=0.02)


def test_the_fewest_slots_of_any_trial_count(run):
    events, ray, _ = run({}, "placement.actors=1", cluster=Cluster.alike(4), seed_2=["placement.actors=2"])
    assert events[0].slots == 2
    assert sorted(count for server in ray.servers for _, count in server.started) == [1, 1, 2]


JUDGED = (
    "method={name: generate, generator: mopoe}", "evaluation.generation={rows: 9, judge_floor: 0.8}",
    "placement.start_timeout_s=0.01",
)  # fmt: skip


def test_trials_wait_for_judges_that_learn_once_for_all(run, monkeypatch):
    monkeypatch.setattr(slot, "SERVER_GRACE_S", 0.0)
    asked, reference = [], FakeRay.reference

    def noted(self, value, *, late=False):
        asked.extend([value] * isinstance(value, Judges))
        return reference(self, value, late=late)

    monkeypatch.setattr(FakeRay, "reference", noted)
    waits, wait = [], FakeRay.wait

    def patient(self, references, num_returns=1, timeout=None):
        waits.append(references)
        time.sleep(0.02 if len(waits) < 4 else 0.0)  # longer than anybody would wait for a server
        ready, late = wait(self, references, num_returns, timeout)
        return ([], references) if len(waits) < 6 else (ready, late)

    monkeypatch.setattr(FakeRay, "wait", patient)
    events, _, status = run({}, *JUDGED, TWO, judges=Judges({}, {"image": 0.8, "vector": 0.9}))
    assert (status, names(events, TrialFinished)) == (0, ["seed=0", "seed=1", "seed=2"])
    assert len(asked) == 1
    assert all(len(set(references)) == len(references) for references in waits)  # Ray wants it so
    (warning,) = [e for e in events if isinstance(e, Warned)]
    assert warning.text == f"small: {supply.LEARNING}"
    assert warning.text.isprintable()


def test_judges_that_know_little_fail_the_trials_that_mind(run):
    seed_1 = ["evaluation.generation.judge_floor=0.5"]
    events, _, status = run({}, *JUDGED, TWO, judges=Judges({}, {"image": 0.9, "vector": 0.61}), seed_1=seed_1)
    assert (status, names(events, TrialFinished), names(events, TrialFailed)) == (1, ["seed=1"], ["seed=0", "seed=2"])
    (first, _) = [e for e in events if isinstance(e, TrialFailed)]
    assert first.error.endswith(
        "evaluation.generation.judge_floor: is 0.8, and the judge of 'vector' is right about 0.610 of the real test "
        "samples; raise judge_epochs, or lower the floor, to 0 for any, and read the figures by it"
    )
    assert "\n" not in first.error


def test_judges_that_never_come_fail_their_trial(run):
    events, ray, status = run({}, *JUDGED, judges=DEAD, trials=1)
    (failed,) = [e for e in events if isinstance(e, TrialFailed)]
    assert (status, failed.error.startswith("its judges did not learn: ")) == (1, True)
    assert ray.servers == []


def test_control_c_ends_between_two_answers(run):
    events, _, status = run({0: ["round", *["wait"] * 9], 1: ["round", KeyboardInterrupt()]}, TWO)
    assert status == 130
    assert (events[-1].finished, events[-1].failed, events[-1].interrupted) == (0, 0, True)


def test_what_nodes_differ_in_is_told_once(run):
    class Joining:
        def __init__(self):
            self.remarks = ["last digits may depend on which node does what"]
            self.lines = [[], ["node two: Python 3.0 there, 3.1 here"]]

        def unlike(self):
            return self.lines.pop(0) if self.lines else []

    events, _, status = run(trials=3, neighbours=Joining())
    assert status == 0
    assert [e.text for e in events if isinstance(e, Warned)] == [
        "last digits may depend on which node does what",
        "node two: Python 3.0 there, 3.1 here; nothing runs there meanwhile",
    ]


@pytest.mark.parametrize(("seconds", "started"), [(0.0, []), (0.2, ["started", "ended"])])
def test_data_is_read_while_ray_starts_unless_it_is_there_at_once(seconds, started, monkeypatch, small, tmp_path):
    seen = []

    @contextmanager
    def cluster(address):
        seen.append("started")
        try:
            yield TWO_CORES
        finally:
            seen.append("ended")

    def wrong(index, trial):
        time.sleep(seconds)
        raise trial.error("dataset", "the files are not there")

    monkeypatch.setattr(driver, "PATIENCE_S", 0.1)
    monkeypatch.setattr(driver, "cluster", cluster)
    monkeypatch.setattr(driver.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"))
    monkeypatch.setattr(driver, "start_server", lambda trials, here: None)
    monkeypatch.setattr(driver.Task, "of", wrong)
    with pytest.raises(ScenarioError, match="the files are not there"):
        driver.run_study([small.trial("seeds=[1]")], out=tmp_path, address=None, sinks=[])
    assert seen == started
