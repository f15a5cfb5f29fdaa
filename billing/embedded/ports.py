"""Ports on loopback: finding a free one, and whether a server listens on one."""

import contextlib
import random
import socket

HOST = "127.0.0.1"
_SERVER_PORTS = (15_000, 30_000)


def free_port() -> int:
    """Return a free loopback TCP port, below those that systems give to connections.

    So no connection takes it before its server listens, or while its server is restarted.
    """
    while True:
        port = random.randint(*_SERVER_PORTS)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


def port_answers(port: int) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
        return True
    return False
