"""Checkpoints of a trial: safetensors and JSON with checksums. A crash at any instant leaves a good one.

A checkpoint is a manifest `round-000012.json`, the networks and the algorithm's state `round-000012.safetensors`, and
the private states of clients: a log of files `clients-000012.safetensors`, of which later ones override earlier ones.
Each checkpoint appends one such file with the states that are new, so that it costs in proportion to the cohort. Every
file is written aside, fsynced and renamed, the manifest last. Only the driver of a study writes here.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from raysim.data.dataset import Array
from raysim.disk import Lines, Sum, digest, settle, sum_of, write
from raysim.simulation.snapshot import Snapshot

FORMAT = "raysim checkpoint 4"
_MANIFEST = re.compile(r"round-(\d{6,})\.json")
_DATA = re.compile(r"(round|clients)-\d{6,}\.safetensors")
Writer = Callable[[Path, bytes], None]


class Damaged(ValueError):
    """A file of a checkpoint is not what was written; one line: which and how."""


class NoCheckpoint(ValueError):
    """There are checkpoints and none of them is intact; one line."""


@dataclass(frozen=True)
class Kept:
    """A checkpoint on the disk: its round and the files that its manifest names, the oldest clients first."""

    round: int
    files: Mapping[str, Sum]


@dataclass(frozen=True)
class Found:
    """A checkpoint that was read.

    Attributes:
        snapshot: with the states of all clients that have one.
        scenario: as it was resolved. versions: of what computed it.
        records: the lines of metrics.jsonl up to its round, without the clients' part.
        damaged: what is wrong with later checkpoints.
    """

    snapshot: Snapshot
    scenario: Mapping[str, Any]
    versions: Mapping[str, str]
    records: tuple[Mapping[str, Any], ...]
    damaged: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one trial.

    Args:
        folder: where they lie; made when first needed.
        metrics: the trial's metrics.jsonl, with a line for each round; those up to its own belong to a checkpoint.
        trial: what identifies the trial; checkpoints of another one are foreign.
        keep: how many stay.
        write: writes a file to the disk as a whole; tests give another one.
    """

    def __init__(self, folder: Path, metrics: Path, trial: str, keep: int, write: Writer = write) -> None:
        self.folder, self._trial, self._keep, self._write = folder, trial, keep, write
        self._path, self._metrics = metrics, Lines(metrics)
        self._kept: list[Kept] = []  # the oldest first
        self._log: dict[str, Sum] = {}
        self._where: dict[int, str] = {}  # client -> the file that has its newest state

    def write(self, snapshot: Snapshot, scenario: Mapping[str, Any], versions: Mapping[str, str]) -> int:
        """Writes a snapshot whose clients are those whose states changed since the last one; returns its bytes.

        Raises:
            OSError: the disk is full, or the like; the checkpoints before are as they were.
            SafetensorError: a type of numbers that the format lacks; likewise.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name, number = f"round-{snapshot.round:06}", f"{snapshot.round:06}"
        new = {f"{name}.safetensors": _arrays(snapshot)}
        where = self._where
        if snapshot.clients:
            log = f"clients-{number}.safetensors"
            new[log] = {_key(c, n): a for c, state in snapshot.clients.items() for n, a in state.items()}
            where = {**where, **dict.fromkeys(snapshot.clients, log)}
        sums: dict[str, Sum] = {}
        for file, arrays in new.items():
            data = safetensors.numpy.save({k: np.asarray(a, order="C") for k, a in arrays.items()})
            self._write(self.folder / file, data)
            sums[file] = sum_of(data)
        alive = set(where.values())
        log_sums = {f: s for f, s in (self._log | sums).items() if f in alive}
        files = {f"{name}.safetensors": sums[f"{name}.safetensors"], **log_sums}
        manifest = {
            "format": FORMAT, "trial": self._trial, "versions": versions, "scenario": scenario, "round": snapshot.round,
            "metrics": asdict(self._metrics.first(snapshot.round)), "figures": snapshot.figures,
            "files": {f: asdict(s) for f, s in files.items()},
        }  # fmt: skip
        data = _sealed(manifest)
        self._write(self.folder / f"{name}.json", data)
        settle(self.folder)
        self._log, self._where = log_sums, where
        self._kept = [k for k in self._kept if k.round != snapshot.round] + [Kept(snapshot.round, files)]
        self._kept = self._kept[-self._keep :]
        self._tidy()
        return len(data) + sum(s.bytes for s in sums.values())

    def read(self) -> Found | None:
        """The newest checkpoint that is intact; later ones, which are not, are removed. None where there is none.

        Raises:
            NoCheckpoint: none of those that are there is intact.
        """
        self._metrics = Lines(self._path)  # the file may be cut after this
        present = self.folder.iterdir() if self.folder.exists() else ()
        manifests = sorted((int(m[1]), p) for p in present if (m := _MANIFEST.fullmatch(p.name)))
        damaged: list[str] = []
        for _, path in reversed(manifests):
            try:
                manifest = self._manifest(path)
                records = self._records(manifest)
                snapshot, where = self._snapshot(manifest)
            except Damaged as error:
                damaged.append(str(error))
                continue
            self._where = where
            self._log = {f: s for f, s in _sums(manifest).items() if f.startswith("clients-")}
            older = [self._glance(p) for number, p in manifests if number <= snapshot.round]
            self._kept = [k for k in older if k is not None][-self._keep :]
            self._tidy()
            return Found(snapshot, manifest["scenario"], manifest["versions"], records, tuple(damaged))
        if damaged:
            raise NoCheckpoint(
                f"no checkpoint is intact: {'; '.join(damaged)}; remove {self.folder.parent} to run the trial anew"
            )
        return None

    def remove(self) -> None:
        """Removes them all: the trial has ended, or begins anew."""
        self._kept, self._log, self._where = [], {}, {}
        if self.folder.exists():
            self._tidy()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _tidy(self) -> None:
        """Removes what no checkpoint needs; first manifests, so that none ever names a file that is gone."""
        needed = {f for k in self._kept for f in (*k.files, f"round-{k.round:06}.json")}
        ours = [p for p in self.folder.iterdir() if p.name not in needed and _ours(p.name)]
        for path in sorted(ours, key=lambda p: p.suffix != ".json"):
            path.unlink()

    def _manifest(self, path: Path) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = json.loads(path.read_bytes())
            seal = manifest.pop("checksum")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise Damaged(f"{path.name} cannot be read") from error
        if digest(_canonical(manifest)) != seal:
            raise Damaged(f"the checksum of {path.name} differs")
        if manifest["format"] != FORMAT:
            raise Damaged(f"{path.name} is of another version ({manifest['format']})")
        if manifest["trial"] != self._trial:
            raise Damaged(f"{path.name} is of another trial")
        return manifest

    def _glance(self, path: Path) -> Kept | None:
        try:
            manifest = self._manifest(path)
        except Damaged:  # said when it was tried, or older than one that is intact
            return None
        return Kept(manifest["round"], _sums(manifest))

    def _records(self, manifest: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        lines = self._metrics.read(Sum(**manifest["metrics"]))
        if lines is None:
            raise Damaged(f"{self._path.name} is not what it was at round {manifest['round']}")
        return tuple({k: v for k, v in json.loads(line).items() if k != "clients"} for line in lines)

    def _snapshot(self, manifest: Mapping[str, Any]) -> tuple[Snapshot, dict[int, str]]:
        tables: dict[str, Any] = {"x": {}, "frozen": {}, "server": {}, "kept": {}, "predictions": {}}
        clients: dict[int, dict[str, Array]] = {}
        where: dict[int, str] = {}
        for name, expected in _sums(manifest).items():
            arrays = self._load(name, expected)
            if name.startswith("round-"):
                for (kind, group, *rest), array in arrays.items():
                    if rest:
                        tables[kind].setdefault(group, {})[rest[0]] = array
                    else:
                        tables[kind][group] = array
                continue
            found: dict[int, dict[str, Array]] = {}
            for (client, key), array in arrays.items():
                found.setdefault(client, {})[key] = array
            for client in found:
                clients.pop(client, None)  # so that the order is that of the files
            clients |= found
            where |= dict.fromkeys(found, name)
        return Snapshot(manifest["round"], **tables, clients=clients, figures=manifest["figures"]), where

    def _load(self, name: str, expected: Sum) -> dict[tuple[Any, ...], Array]:
        if not _DATA.fullmatch(name):
            raise Damaged(f"a manifest names the file {name!r}")
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {error.strerror}") from error
        if sum_of(data) != expected:
            raise Damaged(f"{name} has {len(data)} bytes instead of {expected.bytes}" if len(data) != expected.bytes
                          else f"the checksum of {name} differs")  # fmt: skip
        arrays = {tuple(json.loads(k)): a for k, a in safetensors.numpy.load(data).items()}
        return dict(sorted(arrays.items(), key=lambda pair: pair[0]))


def _arrays(snapshot: Snapshot) -> dict[str, Array]:
    server = {_key("server", g, n): a for g, state in snapshot.server.items() for n, a in state.items()}
    kinds = ("x", "frozen", "kept", "predictions")
    plain = {_key(kind, g): a for kind in kinds for g, a in getattr(snapshot, kind).items()}
    return {**plain, **server}


def _key(*parts: str | int) -> str:
    """A tensor's name that can be taken apart again, whatever the parts hold."""
    return json.dumps(parts)


def _sums(manifest: Mapping[str, Any]) -> dict[str, Sum]:
    return {f: Sum(**s) for f, s in manifest["files"].items()}


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _sealed(manifest: Mapping[str, Any]) -> bytes:
    """The manifest with its checksum; what JSON turns into something else (tuples, keys) is turned before."""
    plain = json.loads(json.dumps(manifest))
    return json.dumps({**plain, "checksum": digest(_canonical(plain))}, indent=1).encode() + b"\n"


def _ours(name: str) -> bool:
    return bool(_MANIFEST.fullmatch(name) or _DATA.fullmatch(name) or re.fullmatch(r"\..*\.tmp", name))
