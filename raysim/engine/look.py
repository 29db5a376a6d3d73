"""What Ray sees of this machine, as JSON on standard output: a process of its own, which may hang or be killed."""

import json

from raysim.engine.environment import NoCluster, use_own_cluster


def main() -> None:
    """Starts a cluster as a study would, and says what it offers, or why there is none."""
    use_own_cluster()
    from raysim.engine.session import cluster

    try:
        with cluster(None) as seen:
            found: dict[str, object] = {"cpus": seen.cpus, "gpus": seen.gpus, "memory_bytes": seen.memory_bytes}
    except NoCluster as error:
        found = {"error": str(error)}
    print(json.dumps(found), flush=True)  # noqa: T201 - read by who started it


if __name__ == "__main__":
    main()
