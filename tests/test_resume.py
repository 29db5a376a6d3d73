"""Studies that are stopped and gone on with, and clients that fail: as their users see it."""

import json
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from processes import Marked, outcome, records

from raysim.engine.folder import own_folder

pytestmark = pytest.mark.ray

MATERIAL = Path(__file__).parent / "engine" / "material"
MORE = (
    "federation.rounds=60",
    "seeds=[0, 1]",
    "federation.algorithm=scaffold",
    "federation.checkpoint.every_rounds=4",
)
FAULTY = """import time
from pathlib import Path

from raysim.method import Method


class At(Method):
    def loss(self, nets, batch):
        if batch.clock.round == 2 and any(c.id == 3 for c in batch.clients):
            self.trouble(batch)
        return super().loss(nets, batch)

    def first(self):
        mark = Path(__file__).with_name(type(self).__name__)
        fresh = not mark.exists()
        mark.touch()
        return fresh


class SleepsOnce(At):
    def trouble(self, batch):
        if self.first():
            time.sleep(1000)


class RaisesOnce(At):
    def trouble(self, batch):
        if self.first():
            raise OSError("the disk was asleep")


class Sleeps(At):
    def trouble(self, batch):
        time.sleep(1000)


class Diverges(Method):
    def loss(self, nets, batch):
        odd = [float("nan") if c.id == 3 and batch.clock.round == 2 else 1.0 for c in batch.clients]
        loss = super().loss(nets, batch)
        return loss * loss.new_tensor(odd).reshape(loss.shape)


class Flaky(At):
    def trouble(self, batch):
        if not Path(__file__).with_name("mended").exists():
            raise ValueError("never again")
"""


def scenario(marked, more=""):
    shutil.copy(MATERIAL / "ray_material.py", marked.folder)
    path = marked.folder / "small.yaml"
    path.write_text((MATERIAL / "small.yaml").read_text() + more)
    return path


def options(settings=MORE):
    return [word for setting in settings for word in ("--set", setting)]


def wait_for(process, text):
    """Reads lines until one that holds the text."""
    assert any(text in line for line in process.stdout), text


def wait_until(is_so, within_s):
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def killed():
    """A study of two trials of which the second was under way when it was killed."""
    marked = Marked()
    file, out = scenario(marked), marked.folder / "out"
    with marked.start("run", file, "--out", out, *options()) as process:
        wait_for(process, "[2/2] small seed=1  round 16/60")
        process.kill()
        process.communicate()
    marked.since = time.monotonic()
    wait_until(lambda: not (marked.actors("Client") or marked.actors("Server")), within_s=5)
    yield marked
    marked.close()


@pytest.fixture
def stopped(marked, killed):
    """A copy of what the killed study has left, and its command."""
    out = marked.folder / "out"
    shutil.copytree(killed.folder / "out", out)
    return out, ["run", scenario(marked), "--out", out, *options()]


def test_a_killed_study_goes_on_where_it_was_and_ends_as_if_nothing_had_been(marked, stopped):
    out, command = stopped
    checkpoints = sorted(p.name for p in (out / "small" / "seed=1" / "checkpoints").glob("*.json"))
    assert len(checkpoints) in (2, 3)  # it may have been killed between writing one and removing another
    assert not (out / "small" / "seed=0" / "checkpoints").exists()
    newest = out / "small" / "seed=1" / "checkpoints" / checkpoints[-1].replace(".json", ".safetensors")
    newest.write_bytes(newest.read_bytes()[:-1])  # torn, so that the one before must do

    status, text, err = marked.run(*command, "--resume")
    assert (status, err) == (0, "")
    lines = [line for line in text.splitlines() if not line.startswith("plan: ")]
    assert re.fullmatch(r"\[1/2\] small seed=0  finished earlier: test accuracy .*", lines[2])
    torn = rf"\[2/2\] small seed=1  warning: {newest.name} has \d+ bytes instead of \d+; goes back to round (\d+)"
    back = int(re.fullmatch(torn, lines[4])[1])
    assert lines[5].endswith(f"; goes on after round {back}")
    assert lines[6].startswith(f"[2/2] small seed=1  round {back + 1}/60")
    assert "finished 2 of 2 trials in " in text

    whole = marked.folder / "whole"
    status, _, err = marked.run("run", command[1], "--out", whole, *options(), "--progress", "none")
    assert (status, err) == (0, "")
    assert outcome(out) == outcome(whole)
    assert {p.name for p in out.iterdir()} == {
        "small", "study.json", "plan.json", "summary.csv", "report.md", "progress.jsonl"
    }  # fmt: skip
    marked.assert_all_gone(within_s=20)


GENERATES = (
    "method={name: generate, generator: {name: mopoe, latent: 3, hidden: 8, channels: [4]}}", "federation.rounds=12",
    "federation.optimizer={name: adam, lr: 0.005, persistent: true}", "federation.checkpoint.every_rounds=2",
    "evaluation.generation={every_rounds: 4, rows: 20, prior_draws: 12, pictures: 2, judge_epochs: 1, judge_floor: 0}",
)  # fmt: skip


@pytest.mark.slow
def test_a_killed_generator_goes_on_though_its_judges_are_damaged(marked):
    file, out, whole = scenario(marked), marked.folder / "out", marked.folder / "whole"
    with marked.start("run", file, "--out", out, *options(GENERATES)) as process:
        wait_for(process, "round 6/12")
        process.kill()
        process.communicate()
    wait_until(lambda: not (marked.actors("Client") or marked.actors("Server")), within_s=5)
    (judges,) = (marked.folder / "cache" / "judges").glob("*.safetensors")
    judges.write_bytes(judges.read_bytes()[:-1])
    status, text, err = marked.run("run", file, "--out", out, *options(GENERATES), "--resume")
    assert (status, err) == (0, "")
    assert re.search(r"; goes on after round \d", text)
    status, _, err = marked.run("run", file, "--out", whole, *options(GENERATES), "--progress", "none")
    assert (status, err) == (0, "")
    assert outcome(out) == outcome(whole)
    pictures = [(folder / "small" / "seed=0" / "generation.npz").read_bytes() for folder in (out, whole)]
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_only_the_same_study_is_gone_on_with(marked, stopped):
    out, command = stopped
    refused = [*command, "--set", "federation.batch_size=4", "--set", "placement.actors=1", "--resume"]
    status, text, err = marked.run(*refused)
    assert (status, text) == (2, "")
    assert err == (
        f"{out}: its study is another one: small/seed=0: federation.batch_size was 8, is 4; small/seed=1: "
        "federation.batch_size was 8, is 4; undo the change, or choose another folder with --out\n"
    )
    status, _, err = marked.run(*command[:-2], "--resume")
    assert status == 0, err  # every_rounds changes no bit

    for path in (out / "small").glob("*/summary.json"):
        path.unlink()
    shutil.rmtree(out / "small" / "seed=0")
    file = out / "small" / "seed=1" / "checkpoints"
    file.mkdir()
    (file / "round-000004.json").write_text("{}")
    status, text, err = marked.run(*command, "--resume")
    assert (status, err) == (1, "")
    assert "FAILED: no checkpoint is intact: round-000004.json cannot be read; remove " in text
    assert "finished 1 of 2 trials, 1 failed in " in text


@pytest.fixture
def hanging_up():
    """A hang-up ends what is started, also where these tests themselves are run by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hanging_up")
def test_one_run_at_a_time_and_a_terminated_one_can_go_on(marked):
    file, out = scenario(marked), marked.folder / "results" / "small-20200101-000000"
    endless = ["run", file, "--out", out, "--set", "federation.rounds=100000"]
    with marked.start(*endless) as process:
        wait_for(process, "round 3/")
        for more in ([], ["--resume"]):
            status, text, err = marked.run(*endless, *more)
            assert (status, text) == (2, "")
            assert re.fullmatch(
                rf"{out}: another raysim run is at work there \(process {process.pid} on \S+\); wait for its end, or "
                r"choose another folder with --out\n",
                err,
            )
        process.terminate()
        text, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "stopped after 0 of 1 trial in " in text
    marked.assert_all_gone(within_s=20)
    assert not (out / ".lock").exists()
    with marked.start(
        "run", file, "--set", "federation.rounds=100000", "--resume"
    ) as process:  # the newest in results/
        process.stdout.readline()
        assert process.stdout.readline().startswith("1 trial -> results/small-20200101-000000 (")
        wait_for(process, "  round ")  # whichever comes after the last checkpoint
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    assert process.returncode == 130
    marked.assert_all_gone(within_s=20)


@pytest.mark.slow
def test_clients_that_fail_are_done_again_or_left_out(marked):
    (marked.folder / "faulty.py").write_text(FAULTY)
    skip = "federation.faults: {on_timeout: skip_client, on_invalid: skip_client}"
    arms = f"""
grid:
  arm:
    - {{label: fine, method: zero_fill}}
    - {{label: slept, method: "faulty:SleepsOnce", federation.faults.on_timeout: retry}}
    - {{label: raised, method: "faulty:RaisesOnce"}}
    - {{label: sleeps, method: "faulty:Sleeps", {skip}}}
    - {{label: diverges, method: "faulty:Diverges", {skip}}}
    - {{label: flaky, method: "faulty:Flaky", placement.max_failures: 1}}
"""
    file, out = scenario(marked, arms), marked.folder / "out"
    settings = [
        "federation.clients_per_round=all", "federation.checkpoint.every_rounds=1", "numerics.stack=4",
        "placement={actors: 2, unit_timeout_s: 3.0, parallel_trials: 1}",
    ]  # fmt: skip
    status, text, err = marked.run("run", file, "--out", out, *options(settings))
    assert (status, err) == (1, "")
    found = {}
    for label in ("fine", "slept", "raised", "sleeps", "diverges", "flaky"):
        folder = out / "small" / f"arm={label},seed=0"
        found[label] = (records(folder), json.loads((folder / "summary.json").read_text()))
    assert found["slept"][0] == found["raised"][0] == found["fine"][0]
    assert [found[n][1]["bit_comparable"] for n in ("fine", "slept", "raised", "sleeps", "diverges")] == [
        True, True, True, False, True,
    ]  # fmt: skip
    for label, reason in (("sleeps", "no answer within 3 s"), ("diverges", "stage 'task': the loss is nan")):
        rounds, summary = found[label]
        assert [r["skipped"] for r in rounds] == [[], [{"id": 3, "reason": reason}], []]
        assert [len(r["clients"]) for r in rounds] == [6, 5, 6]
        assert rounds[1]["bytes_up"] < rounds[0]["bytes_up"]
        assert summary["skipped"] == 1
        assert f"warning: round 2: client 3 is skipped: {reason}" in text
    assert found["diverges"][0][0] == found["fine"][0][0]

    assert re.search(
        r"arm=slept seed=0  warning: round 2, clients? [\d, ]*3[\d, ]*: no answer within 3 s; its work", text
    )
    raised = rf"OSError: the disk was asleep \({marked.folder}/faulty.py:\d+ in trouble\); done again in a new process"
    assert re.search(rf"arm=raised seed=0  warning: round 2, clients? [\d, ]*3[\d, ]*, stage 'task': {raised}", text)
    summary = found["flaky"][1]
    assert summary["status"] == "failed"
    never = r"round 2, clients? [\d, ]*3[\d, ]*, stage 'task': ValueError: never again \(.*faulty.py:\d+ in trouble\)"
    assert re.fullmatch(never, summary["error"])
    assert 'raise ValueError("never again")' in summary["details"]
    assert "ray/" not in text
    assert "finished 5 of 6 trials, 1 failed in " in text

    (marked.folder / "mended").touch()
    status, text, err = marked.run("run", file, "--out", out, *options(settings), "--resume")
    assert (status, err) == (0, "")
    assert text.count("finished earlier: ") == 5
    begun = r"\[6/6\] small arm=flaky seed=0  started: 6 clients on 2 actors, stack 4, cpu; .*; goes on after round 1\n"
    assert re.search(begun, text)
    assert records(out / "small" / "arm=flaky,seed=0") == found["fine"][0]


LIMITED = """
import resource, signal, sys
import raysim.report.files as files
from raysim.report.events import RoundFinished

plain = files.FileSink.handle

def handle(self, event):
    if isinstance(event, RoundFinished) and event.round == {round}:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
    plain(self, event)

files.FileSink.handle = handle
from raysim.cli.app import main
sys.exit(main())
"""


def limited(round_, size):
    """A command whose process, and no other, cannot write files larger than so many bytes from some round on."""
    return [sys.executable, "-c", LIMITED.format(round=round_, size=size)]


@pytest.mark.slow
def test_a_full_disk_ends_the_study_in_a_line_and_it_can_go_on(marked):
    file, out = scenario(marked), marked.folder / "out"
    more = options(("federation.rounds=120", *MORE[1:]))
    command = ["run", file, "--out", out, *more]
    again = shlex.join(map(str, ["raysim", "run", file, *more, "--out", out]))
    status, text, err = marked.run(*command, command=limited(30, 60_000))  # where metrics.jsonl ends in a torn line
    assert status == 1
    assert err == f"{out}/small/seed=0/metrics.jsonl: File too large; mend that and go on with: {again} --resume\n"
    assert "Traceback" not in text
    marked.assert_all_gone(within_s=20)
    lines = (out / "small" / "seed=0" / "metrics.jsonl").read_bytes()
    assert len(lines) == 60_000
    assert not lines.endswith(b"\n")

    status, text, err = marked.run(*command, "--resume")
    assert (status, err) == (0, "")
    assert "; goes on after round " in text
    assert "finished 2 of 2 trials" in text
    for seed in (0, 1):
        assert [r["round"] for r in records(out / "small" / f"seed={seed}")] == list(range(1, 121))


@pytest.mark.slow
def test_without_room_for_checkpoints_a_study_goes_on_without_them(marked):
    file, out = scenario(marked), marked.folder / "out"
    # Networks take more than metrics and curves.
    large = ("--set", "model.dim=64", "--set", "evaluation.keep_model=none")
    command = ["run", file, "--out", out, *options(), *large, "--set", "federation.rounds=12"]
    status, text, err = marked.run(*command, command=limited(1, 45_000))
    assert (status, err) == (0, "")
    warnings = [line for line in text.splitlines() if "warning" in line]
    assert len(warnings) == 2
    assert re.fullmatch(
        r"\[1/2\] small seed=0  warning: round \d+: no checkpoint was written: File too large; the one before stays",
        warnings[0],
    )
    assert "finished 2 of 2 trials" in text


@pytest.mark.slow
def test_nothing_of_a_killed_study_is_left_after_90_s(killed):
    wait_until(lambda: not killed.processes(), within_s=max(killed.since + 90 - time.monotonic(), 1))
    (left,) = killed.folder.glob("raysim-*")  # Ray's folder, until the next study begins
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(killed.folder))
        with own_folder():
            assert not left.exists()
    assert list(killed.folder.glob("raysim-*")) == []


LONGER = ("seeds=[0, 1]", "federation.algorithm=scaffold", "federation.checkpoint.at_end=true")
"""Four rounds at first, and then six."""


@pytest.mark.slow
def test_a_finished_study_goes_on_to_more_rounds_as_if_there_had_always_been_so_many(marked):
    file, out, whole = scenario(marked), marked.folder / "out", marked.folder / "whole"
    short, long = (options((*LONGER, f"federation.rounds={n}")) for n in (4, 6))
    assert marked.run("run", file, "--out", out, *short, "--progress", "none")[0] == 0
    assert len(list((out / "small" / "seed=0" / "checkpoints").glob("*.json"))) >= 1
    short_one = outcome(out, at_end=True)
    status, text, err = marked.run("run", file, "--out", out, *short, "--resume")  # nothing is left to do
    assert (status, err, "[2/2] small seed=1  finished earlier" in text) == (0, "", True)
    assert outcome(out, at_end=True) == short_one

    status, text, err = marked.run("run", file, "--out", out, *long, "--resume")
    assert (status, err) == (0, "")
    assert text.count("; goes on after round 4") == 2
    assert "begins anew" not in text
    assert marked.run("run", file, "--out", whole, *long, "--progress", "none")[0] == 0
    assert outcome(out, at_end=True) == outcome(whole, at_end=True)

    status, text, err = marked.run("run", file, "--out", out, *short, "--resume")
    assert (status, text) == (2, "")
    assert "small/seed=0: federation.rounds was 6, is 4; small/seed=1: federation.rounds was 6, is 4; undo" in err


@pytest.mark.slow
def test_a_finished_study_that_kept_nothing_begins_anew_and_says_so(marked):
    file, out, whole = scenario(marked), marked.folder / "out", marked.folder / "whole"
    assert marked.run("run", file, "--out", out, "--progress", "none")[0] == 0
    more = options(("federation.rounds=5",))
    status, text, err = marked.run("run", file, "--out", out, *more, "--resume")
    assert (status, err) == (0, "")
    kept = "it was finished with 3 and kept no checkpoint at its end (federation.checkpoint.at_end)"
    assert f"warning: begins anew, for 5 rounds: {kept}" in " ".join(text.split())
    assert marked.run("run", file, "--out", whole, *more, "--progress", "none")[0] == 0
    assert outcome(out) == outcome(whole)


@pytest.mark.slow
def test_a_schedule_of_all_rounds_begins_anew(marked):
    file, out, whole = scenario(marked), marked.folder / "out", marked.folder / "whole"
    cosine = "federation.optimizer.schedule=cosine"
    short, long = (options((*LONGER, cosine, f"federation.rounds={n}")) for n in (3, 5))
    assert marked.run("run", file, "--out", out, *short, "--progress", "none")[0] == 0
    status, text, err = marked.run("run", file, "--out", out, *long, "--resume")
    assert (status, err) == (0, "")
    assert "begins anew, for 5 rounds: the learning rate's cosine depends on the number of rounds" in " ".join(
        text.split()
    )
    assert marked.run("run", file, "--out", whole, *long, "--progress", "none")[0] == 0
    assert outcome(out, at_end=True) == outcome(whole, at_end=True)
