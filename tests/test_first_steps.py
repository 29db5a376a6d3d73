"""From own data to results, as a newcomer goes: `raysim new`, then `raysim run`."""

import numpy as np
import pytest

from raysim.cli.app import main

pytestmark = pytest.mark.ray
TINY = [
    "--set", "federation.rounds=1", "--set", "federation.local_epochs=1", "--set", "numerics.device=cpu",
    "--set", "evaluation.every_rounds=1",
]  # fmt: skip


def test_from_own_data_to_results_and_what_is_refused_leaves_nothing(marked, monkeypatch, capfd):
    monkeypatch.chdir(marked.folder)
    rng, y = np.random.default_rng(0), np.arange(120) % 3
    arrays = {
        "x.image": rng.integers(256, size=(120, 1, 8, 8)).astype(np.float32), "x.vitals": rng.normal(size=(120, 5)),
        "y": y, "split": np.repeat([0, 1, 2], 40), "client": np.arange(120) % 4,
    }  # fmt: skip
    np.savez(marked.folder / "mine.npz", **arrays)
    assert main(["new", "--data", "mine.npz", "--method", "zero_fill"]) == 0
    text, err = capfd.readouterr()
    assert text.endswith("run it: raysim run mine_zero_fill.yaml\n")
    assert err == ""
    status, text, err = marked.run("run", "mine_zero_fill.yaml", "--out", "out", *TINY)
    assert (status, err) == (0, "")
    assert "\nwarning: mine_zero_fill: image 'image' has values up to 255 as floats; " in text
    assert "\nfinished 1 of 1 trial in " in text

    many = ["--set", "federation.clients_per_round=9"]
    for where in (["--out", "other"], []):
        assert main(["run", "mine_zero_fill.yaml", *where, *TINY, *many]) == 2
        wrong = "federation.clients_per_round: is 9, but there are 4 clients; write 4 or less\n"
        assert capfd.readouterr().err.endswith(wrong)
    assert not (marked.folder / "other").exists()
    assert list(marked.folder.glob("results/*")) == []
