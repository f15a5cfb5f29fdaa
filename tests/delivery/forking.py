"""Roles as forks of one process that has imported the engine.

An engine under test starts processes all the time, and importing the engine takes each of them a
second of processor time. A fork has its modules from the beginning; apart from that it is what
`python -m` would start: its own environment, folder, output, process group and signals.

    python -m tests.delivery.forking

is that process. It takes orders over its standard input, which is a socket, and is killed with
the process that started it, as forks are with it. Only Linux does this.
"""

import atexit
import ctypes
import functools
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from billing.embedded import orphans

AVAILABLE: Final = sys.platform == "linux"
ENGINE: Final = (
    "billing.api.serving",
    "billing.cli.commands.processes",
    "billing.gateway.stripe.client",
    "billing.workers.roles",
    "tests.delivery.crash.all_flows",
)

_ROOT: Final = Path(__file__).parents[2]
_ORDER_SIZE_MAX: Final = 150_000  # with a whole environment in it
_PR_SET_PDEATHSIG: Final = 1
_PYTHON: Final = (sys.executable, "-m")


class Fork(subprocess.Popen[bytes]):
    """A process that the server forked. It tells of its end over a socket."""

    _child_created = False  # what `Popen` does at its own end doesn't concern it

    def __init__(self, command: Sequence[str], told: socket.socket) -> None:
        self.args = list(command)
        self.returncode: int | None = None
        self.pid = int(told.recv(32))
        self._told = told

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._told.recv(32))
            self._told.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, if the process runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)


def start(command: Sequence[str], env: Mapping[str, str], cwd: Path, output: int) -> Fork:
    """Start `python -m MODULE ...`; `output` is the descriptor for what it writes."""
    assert tuple(command[:2]) == _PYTHON, f"only modules are forked: {command}"
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        order = json.dumps([command[2:], dict(env), str(cwd)]).encode()
        socket.send_fds(_server(), [order], [its.fileno(), output])
    return Fork(command, mine)


@functools.cache
def _server() -> socket.socket:
    """Start the server, once a process, and return the socket for orders."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        env = {**os.environ, "PYTHONPATH": str(_ROOT)}
        server = orphans.spawn([*_PYTHON, __name__], env=env, stdin=its.fileno(), output=2)
    atexit.register(_stop, server, ours)
    return ours


def _stop(server: subprocess.Popen[bytes], orders: socket.socket) -> None:
    orders.close()
    server.kill()
    server.wait()


def _main() -> None:
    """Serve; a fork comes back with its order, and is that module from then on."""
    order = _Server(socket.socket(fileno=0)).serve()
    if order is not None:
        (sys.argv[0], *sys.argv[1:]), env, folder = order
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


Order = tuple[list[str], dict[str, str], str]
"""A module with its arguments, its environment and its folder."""


class _Server:
    """Forks as ordered, and tells of each end, until nobody can order anything any more."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)

    def serve(self) -> Order | None:
        """Return an order in the fork that is to follow it, and None in the server at its end."""
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._tell_end(key.fd, *key.data)
                    continue
                order, descriptors, _, _ = socket.recv_fds(self._orders, _ORDER_SIZE_MAX, 2)
                if not order:
                    return None
                if self._fork(*descriptors):
                    made: Order = json.loads(order)
                    return made

    def _fork(self, telling: int, output: int) -> bool:
        """Fork, and tell whether this is the fork."""
        tell, server = socket.socket(fileno=telling), os.getpid()
        pid = os.fork()
        if pid:
            os.close(output)
            tell.send(str(pid).encode())
            self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, tell))
            return False
        _tie_to(server)
        os.setpgid(0, 0)
        tell.close()
        self._let_go()
        _take(output, 1, 2)
        _take(os.open(os.devnull, os.O_RDONLY), 0)
        return True

    def _let_go(self) -> None:
        """Close what only the server needs."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                os.close(key.fd)
                key.data[1].close()
        self._selector.close()
        self._orders.detach()  # standard input, which becomes something else

    def _tell_end(self, descriptor: int, pid: int, tell: socket.socket) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with tell, suppress(BrokenPipeError, ConnectionResetError):
            tell.send(str(code).encode())


def _take(descriptor: int, *places: int) -> None:
    """Move a descriptor to other numbers."""
    for place in places:
        os.dup2(descriptor, place)
    os.close(descriptor)


def _tie_to(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    for needed in ENGINE:
        importlib.import_module(needed)
    _main()
