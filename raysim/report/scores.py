"""What a round scored, whoever was judged."""

from collections.abc import Mapping
from typing import Any

OVER_CLIENTS = " over clients"
"""What is said of a figure that is a mean over clients, each judged by networks of its own."""
_SPLITS = ("validation", "test", "test_unmasked")


def central(said: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    """Split -> metric -> value, of a round's record or of the splits of a summary; empty where it was not evaluated."""
    return {split: said[split] for split in _SPLITS if split in said}


def over_clients(said: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    """The same as means over clients, of a record or a summary in which these are judged."""
    by_client: Mapping[str, Mapping[str, Any]] = said.get("by_client", {})
    return {
        split: {metric: spread["mean"] for metric, spread in by_client[split].items()}
        for split in _SPLITS
        if split in by_client
    }
