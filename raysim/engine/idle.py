"""What stands where Ray wants a helper process to run, and mostly nobody asks anything of it.

It waits for its parent's end. Where it is told what the helper is, it listens at that one's port, too, and becomes it
once somebody knocks: who has knocked is served, a second later. What only some need is imported there.
"""

import os
import select
import sys

WAIT, LISTEN, BECOME = "wait", "listen", "become"
ADDRESS, PORT = "--node-ip-address=", "--runtime-env-agent-port="


def wait() -> None:
    """Until the parent's end."""
    select.select([os.pidfd_open(os.getppid())], [], [])


def listen(command: list[str]) -> None:
    """Likewise, or until somebody knocks: then this process becomes the helper, with the socket in its hands."""
    import socket

    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port is reserved by another one
        door.bind((_word(command, ADDRESS), int(_word(command, PORT))))
        door.listen()
        if door in select.select([os.pidfd_open(os.getppid()), door], [], [])[0]:
            os.set_inheritable(door.fileno(), True)
            python = command[0]
            os.execv(python, [python, "-P", __file__, BECOME, str(door.fileno()), *command[1:]])


def become(descriptor: int, words: list[str]) -> None:
    """Runs the helper, which binds a socket of its own to the port: that is this one, at which somebody has knocked."""
    import runpy
    import socket
    from typing import Any

    address = _word(words, ADDRESS), int(_word(words, PORT))

    class Socket(socket.socket):
        def bind(self, to: Any) -> None:
            if to == address:
                os.dup2(descriptor, self.fileno())
            else:
                super().bind(to)

    socket.socket = Socket
    sys.argv = words[next(i for i, word in enumerate(words) if not word.startswith("-")) :]  # without the interpreter's
    runpy.run_path(sys.argv[0], run_name="__main__")


def _word(words: list[str], option: str) -> str:
    return next(word.removeprefix(option) for word in words if word.startswith(option))


def main(what: str, *words: str) -> None:
    """`words` are the helper's own, its interpreter first."""
    if what == LISTEN:
        listen(list(words))
    elif what == BECOME:
        become(int(words[0]), list(words[1:]))
    else:
        wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
