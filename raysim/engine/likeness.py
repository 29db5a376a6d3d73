"""Whether the processes of other nodes would run what the driver runs: else their numbers would be others."""

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.engine import fingerprint
from raysim.engine.environment import NoCluster
from raysim.engine.fingerprint import Print, taken
from raysim.engine.membership import alive
from raysim.engine.nodes import Node
from raysim.simulation.faults import one_line

_ray: Any = ray  # only partly typed
cloudpickle.register_pickle_by_value(fingerprint)
PATIENCE_S = 60.0
"""Longest wait for a node's fingerprint: its first process may have to start."""
ALWAYS = ("ray", "torch", "numpy", "scipy", "scikit-learn")
"""Wheels that decide bits of every trial, or how processes talk."""
WHERE_THERE = ("pillow", "torchvision", "transformers", "tokenizers", "peft", "librosa", "soundfile", "safetensors")
"""Wheels that decide bits of some: compared where a node has them, too."""
MISSING = "not installed"


class Unlike(RuntimeError):
    """A process would run something else than the driver; one line: what it has, and what the driver has."""


@dataclass(frozen=True)
class Wanted:
    """What processes are compared by.

    Attributes:
        own: the driver's fingerprint.
        needed: wheels that a node must have.
    """

    own: Print
    needed: frozenset[str] = frozenset(ALWAYS)

    @classmethod
    def here(cls, wheels: Iterable[str] = (), packages: Iterable[str] = ()) -> "Wanted":
        """Of this process.

        Args:
            wheels: that are needed besides.
            packages: top-level modules that are installed, and whose files must be alike.
        """
        needed = frozenset((*ALWAYS, *wheels))
        own = taken(tuple(sorted({*needed, *WHERE_THERE})), tuple(sorted(packages)))
        return cls(own, frozenset(name for name in needed if own["wheels"][name]))

    def check_here(self) -> None:
        """Compares this process.

        Raises:
            Unlike: it differs.
        """
        if lines := list(self.differences(taken(tuple(self.own["wheels"]), tuple(self.own["packages"])))):
            raise Unlike(f"node {socket.gethostname()}: {'; '.join(lines)}")

    def differences(self, other: Print) -> Iterator[str]:
        """What another process has and this one has not, in words; its processor aside."""
        if other["python"] != self.own["python"]:
            yield _both("Python", other["python"], self.own["python"])
        ours, theirs = (_named(p["version"], p["raysim"]) for p in (self.own, other))
        if theirs != ours:
            yield _both("raysim", theirs, ours) + _first(self.own["raysim"], other["raysim"])
        for name, version in self.own["wheels"].items():
            found = other["wheels"][name]
            if found != version and version and (found or name in self.needed):
                yield _both(name, found or MISSING, version)
        for name, files in self.own["packages"].items():
            if other["packages"][name] != files:
                theirs, ours = _named("", other["packages"][name]), _named("", files)
                yield _both(name, theirs, ours) + _first(files, other["packages"][name])


def _both(what: str, there: str, here: str) -> str:
    return f"{what} {there} there, {here} here"


def _named(version: str, files: Mapping[str, str]) -> str:
    """A version, and a digest of all files; in words where there are none."""
    if not files:
        return MISSING
    return " ".join(filter(None, (version, f"(files {fingerprint.digest(files)})")))


def _first(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Which file differs first."""
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return f", in {odd[0]}{more}" if odd and theirs else ""


class Neighbours:
    """The nodes of a cluster that is not ours, each compared once with the driver.

    Attributes:
        remarks: what is to be said of those that were let in.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._known: set[str] = set()
        self.remarks: list[str] = []

    def check(self) -> None:
        """Compares all that nobody has looked at yet.

        Raises:
            NoCluster: one differs, or does not answer.
        """
        if unlike := self.unlike():
            count = len(unlike) - 1
            more = f"; {count} more node{'s differ' if count > 1 else ' differs'}" if count else ""
            raise NoCluster(f"{unlike[0]}{more}")

    def unlike(self) -> list[str]:
        """A line for each new node that differs, or does not answer while it is alive."""
        new = [node for node in alive() if node.id not in self._known]
        self._known |= {node.id for node in new}
        lines: list[str] = []
        odd: dict[str, list[str]] = {}
        for node, found in asked(self._wanted, new).items():
            if isinstance(found, str):
                lines.append(f"node {node.name} {found}")
            elif differences := list(self._wanted.differences(found)):
                lines.append(f"node {node.name}: {'; '.join(differences)}; install the same there")
            elif found["processor"] != self._wanted.own["processor"]:
                odd.setdefault(found["processor"], []).append(node.name)
        self.remarks += [
            f"last digits may depend on which node does what: {', '.join(nodes)} has {processor}, and this one "
            f"{self._wanted.own['processor']}"
            for processor, nodes in odd.items()
        ]
        return lines


def asked(wanted: Wanted, nodes: Sequence[Node]) -> dict[Node, Print | str]:
    """The fingerprint of each node, or why there is none; nodes that are dead by then have no entry."""
    names = tuple(wanted.own["wheels"]), tuple(wanted.own["packages"])
    answers: dict[Node, Any] = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote = _ray.remote(taken).options(num_cpus=0, max_retries=1, scheduling_strategy=there)
        answers[node] = remote.remote(*names)
    _ray.wait(list(answers.values()), num_returns=len(answers), timeout=PATIENCE_S)
    left = {node.id for node in alive()}
    found: dict[Node, Print | str] = {}
    for node, reference in answers.items():
        if node.id not in left:
            continue
        try:
            found[node] = _ray.get(reference, timeout=0)
        except GetTimeoutError:
            found[node] = f"did not start a process within {PATIENCE_S:g} s; free it, or take it out of the cluster"
        except RayError as error:
            found[node] = f"cannot be compared with this one: {one_line(error)}; mend it, or take it out of the cluster"
    return found
