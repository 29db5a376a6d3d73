"""Clusters in words: `2x(cpus=32,gpus=4xA100-80,memory=256G),1x(cpus=64)`."""

import re

from raysim.engine.gpus import memory_of
from raysim.engine.nodes import Cluster, Node

EXAMPLE = "2x(cpus=32,gpus=4xA100-80,memory=256G),1x(cpus=64)"
_GROUP = re.compile(r"(?:(\d+)\s*x)?\s*\(([^()]*)\)")
_GPUS = re.compile(r"(\d+)(?:x([A-Za-z0-9][\w.-]*))?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([MGT])i?B?")
_UNITS = {"M": 1e6, "G": 1e9, "T": 1e12}
MOST_NODES = 10_000


def described(text: str) -> Cluster:
    """The nodes of a description, the driver's first.

    `cpus` are a node's cores, `gpus` how many it has and maybe which, with their memory in GB where a model comes with
    several; `memory` is in M, G or T (powers of 1,000).

    Raises:
        ValueError: it is none; one line.

    Example:
        >>> print(described("2x(cpus=32,gpus=4xA100-80,memory=256G),1x(cpus=64)"))
        128 cores, 8 GPUs, 3 nodes
    """
    nodes: list[Node] = []
    at = 0
    for found in _GROUP.finditer(text):
        if text[at : found.start()].strip(" ,"):
            break
        at = found.end()
        count = int(found[1] or 1)
        if not 0 < count <= MOST_NODES - len(nodes):
            raise ValueError(f"{count} nodes: must be from 1 to {MOST_NODES:,} in all")
        nodes += [_node(found[2], len(nodes) + i) for i in range(1, count + 1)]
    if not nodes or text[at:].strip():
        raise ValueError(f"'{text[at:].strip() or text}': nodes look like {EXAMPLE}")
    return Cluster(tuple(nodes))


def _node(text: str, number: int) -> Node:
    said: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or key not in ("cpus", "gpus", "memory") or key in said:
            raise ValueError(f"'{part.strip()}': a node has cpus=, gpus= and memory=, each once, as in {EXAMPLE}")
        said[key] = value
    if not re.fullmatch(r"[1-9]\d*", said.get("cpus", "")):
        raise ValueError(f"({text}): cpus= must be the node's cores, a whole number of at least 1")
    gpus = _GPUS.fullmatch(said.get("gpus", "0"))
    if gpus is None:
        raise ValueError(f"gpus={said['gpus']}: must be how many, and maybe which: gpus=4 or gpus=4xA100-80")
    memory = _BYTES.fullmatch(said["memory"]) if "memory" in said else None
    if "memory" in said and memory is None:
        raise ValueError(f"memory={said['memory']}: must be a size such as 256G")
    free = None if memory is None else float(memory[1]) * _UNITS[memory[2]]
    model = gpus[2] or ""
    return Node(
        str(number), f"node{number}", int(said["cpus"]), int(gpus[1]), free, model, gpu_bytes=memory_of(model)
    )  # fmt: skip
