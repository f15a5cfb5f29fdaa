"""Ports on loopback: finding a free one, and whether a server listens on one."""

import contextlib
import random
import socket

from billing.errors import Unavailable

_TRIED = 200
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


def is_free(port: int, host: str = HOST) -> bool:
    """Tell whether a server could listen on this port of an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return True
    return False


def next_free(port: int, host: str = HOST) -> int:
    """Return the first free port above this one. Raises: Unavailable."""
    for candidate in range(port + 1, min(port + 1 + _TRIED, 65_536)):
        if is_free(candidate, host):
            return candidate
    raise Unavailable(f"no port above {port} is free on {host}", where=host)
