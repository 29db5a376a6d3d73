"""Studies at a URL, as their users see them."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from processes import outcome

pytestmark = pytest.mark.ray

MATERIAL = Path(__file__).parent / "engine" / "material"
SETTINGS = ["federation.rounds=120", "federation.algorithm=scaffold", "federation.checkpoint.every_rounds=4"]
SCENARIO = {
    "name": "note", "dataset": "synthetic", "partition": {"name": "iid", "clients": 4},
    "missing": {"name": "per_sample", "rate": 0.3}, "method": "zero_fill",
    "federation": {"rounds": 3, "batch_size": 64, "checkpoint": {"at_end": True}}, "evaluation": {"missing": "same"},
    "placement": {"actors": 1},
}  # fmt: skip
IN_MEMORY = """
import os, shutil
from pathlib import Path
import fsspec, raysim

URL = "memory://bucket/first study, ü"
shown = []
class Sink:
    def handle(self, event): shown.append(event)
    def close(self): pass

def there():
    fs = fsspec.filesystem("memory")
    root = "/bucket/first study, ü/"
    return {p.removeprefix(root): fs.cat_file(p) for p in fs.find(root) if "/." not in p}

def here(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

study = raysim.run(scenario, out=URL, overrides={"federation.rounds": 2}, progress="none", sinks=[Sink()])
assert [t.state for t in study.trials] == ["finished"], study.trials
assert there() == here(study.folder)
started, ended = [e for e in shown if type(e).__name__ in ("StudyStarted", "StudyFinished")]
assert started.out == "memory:///bucket/first study, ü"
assert ended.then == "raysim report 'memory:///bucket/first study, ü'"
rows, score = study.rows(), study.trials[0].predictor().evaluate()
try:
    raysim.run(scenario, out=URL, progress="none")
    raise SystemExit("was not refused")
except raysim.FolderError as error:
    assert str(error).startswith("memory:///bucket/first study, ü: is not empty; go on with its study by --resume")

os.environ["RAYSIM_CACHE"] = "other"
again = raysim.open(URL)
assert again.folder != study.folder and again.rows() == rows and not again.running
assert raysim.load(f"{URL}/note/{study.trials[0].name}").evaluate() == score
more = raysim.run(scenario, out=URL, overrides={"federation.rounds": 3}, progress="none", resume=True)
assert there() == here(more.folder) and [m["round"] for m in more.trials[0].metrics()] == [1, 2, 3]
assert [m["round"] for m in raysim.open(URL).trials[0].metrics()] == [1, 2, 3]
print("done")
"""


def test_a_study_in_memory_is_read_and_gone_on_with_from_another_folder(marked):
    status, said, err = marked.run(command=[sys.executable, "-c", f"scenario = {SCENARIO!r}\n{IN_MEMORY}"])
    assert (status, said.splitlines()[-1:]) == (0, ["done"]), err
    assert {"cache", "other"} <= {p.name for p in marked.folder.iterdir()}
    assert list(marked.folder.glob("memory*")) == []


@pytest.mark.slow
def test_a_study_whose_machine_is_lost_goes_on_elsewhere_with_the_same_bits(marked):
    shutil.copy(MATERIAL / "ray_material.py", marked.folder)
    file = shutil.copy(MATERIAL / "small.yaml", marked.folder)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    store, plain = marked.folder / "the store", marked.folder / "plain"
    url = f"file://{store}/ü"
    with marked.start("run", file, "--out", url, *settings) as process:
        assert any("small seed=0  round 70/120" in line for line in process.stdout)
        process.kill()
        process.communicate()
    marked.kill()
    found = sorted(p.name for p in (store / "ü/small/seed=0/checkpoints").glob("*.json"))
    assert found, list(store.rglob("*"))
    shutil.rmtree(marked.folder / "cache" / "urls")
    command = ["run", file, "--out", url, *settings]
    status, _, err = marked.run(*command)
    assert (status, err.count("\n")) == (2, 1)
    assert f"{url}: is not empty; go on with its study by --resume" in err
    status, text, err = marked.run(
        *command, "--resume", surroundings={"RAYSIM_CACHE": str(marked.folder / "elsewhere")}
    )
    assert status == 0, err
    assert err.startswith(f"{url}: process {process.pid} on ")
    assert err.endswith(" did not say that it has ended; waiting 30 s for a sign of it\n")
    assert "; goes on after round " in text
    assert text.splitlines()[-1] == f"look again: raysim report '{url}'"
    assert marked.run("run", file, "--out", plain, *settings)[0] == 0
    assert outcome(store / "ü") == outcome(plain)
    assert json.loads((store / "ü" / ".writer.json").read_text())["by"] == ""
