"""Who answers at a Ray cluster's address, as JSON on standard output.

A script of its own: Ray's client cannot be told to give up, and says what it thinks on standard error. It ends by
itself, killed by SIGALRM, where nothing answers as Ray would. It imports nothing of raysim.
"""

import json
import signal
import sys
import time
from typing import Any

import ray
from ray._common.usage import usage_lib
from ray._private import services, utils
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray.exceptions import AuthenticationError, RpcError

ANSWER_S = 5
"""How long an answer may take, from when Ray is imported."""
MEMBER_S = 3.0
"""How long a node may take to be known, if it has just been started."""
_ray: Any = ray  # only partly typed
_services: Any = services
_utils: Any = utils
_usage: Any = usage_lib


def asked(address: str) -> dict[str, Any]:
    """What `ray.init` would find at an address, `auto` or HOST:PORT; says meanwhile `at` which HOST:PORT.

    Returns:
        `member`, the node of this machine, None if it is none; or what is in the way: `token` (absent or wrong, and the
        `mode`), `versions` (of Ray and Python: the cluster's, ours), `silent`, where what answers is no cluster, or
        `nothing`: why there is no address.
    """
    mode = "token" if _allowed(address) else "disabled"
    try:
        at: str = _services.canonicalize_bootstrap_address(address)
    except (ConnectionError, ValueError) as error:
        return {"nothing": str(error)}
    say({"at": at})
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)
    except AuthenticationError:
        return {"token": "absent", "mode": mode}
    try:
        client: Any = _ray._raylet.GcsClient(address=at)
    except AuthenticationError:
        return {"token": "wrong", "mode": mode}
    except RpcError:
        return {"silent": True}
    there: dict[str, Any] = _usage.get_cluster_metadata(client) or {}
    try:
        if there:
            _utils.check_version_info(there, "here")
    except RuntimeError:
        ours = _utils.compute_version_info()
        return {"versions": [[there["ray_version"], there["python_version"]], list(ours)]}
    return {"member": _member(client)}


def say(found: dict[str, Any]) -> None:
    """Tells who started it."""
    print(json.dumps(found), flush=True)  # noqa: T201


def _allowed(address: str) -> bool:
    """Whether a token is sent: a cluster of this machine is given the one that is there, as by `ray.init`."""
    if address == "auto":
        return bool(maybe_enable_token_auth_if_token_available(warn_if_disabled=False))
    return bool(_ray._raylet.get_authentication_mode() == _ray._raylet.AuthenticationMode.TOKEN)


def _member(client: Any) -> str | None:
    """The id of a node of the cluster on this machine; None where there is none."""
    until = time.monotonic() + MEMBER_S
    while True:
        alive = {key.hex() for key, node in client.get_all_node_info(timeout=MEMBER_S).items() if node.state == 0}
        here = sorted(alive & set(_services.find_node_ids()))
        if here or time.monotonic() > until:
            return here[0] if here else None
        time.sleep(0.2)


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ANSWER_S)
    say(asked(sys.argv[1]))
