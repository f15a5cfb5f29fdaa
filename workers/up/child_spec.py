"""How a child process is started, known to be ready, stopped, and started again."""

import random
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from billing.embedded import orphans
from billing.embedded.servers import EmbeddedServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one child is started, known to be ready, and stopped (times in seconds).

    Either `command` (with `env`, complete, and `cwd`) or `start`, which is given the file
    descriptor for the child's output and must tie the child to this process itself.
    `close` is called when the child is stopped for good.
    """

    name: str
    command: Sequence[str] = ()
    start: Callable[[int], subprocess.Popen[bytes]] | None = None
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 30.0
    kill_signal: int = signal.SIGKILL
    close: Callable[[], None] | None = None

    def spawn(self, output: int) -> subprocess.Popen[bytes]:
        """Start the child once."""
        if self.start is not None:
            return self.start(output)
        return orphans.spawn(self.command, env=self.env, cwd=self.cwd, output=output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long to wait before a restart: doubling, jittered, from the start after `steady`."""

    first: float = 0.5
    longest: float = 30.0
    steady: float = 30.0

    def before(self, failures: int) -> float:
        """Return the pause before the start that follows this many failures in a row."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


def embedded_child(server: EmbeddedServer) -> ChildSpec:
    """Make the child that runs a prepared embedded server."""
    return ChildSpec(
        name=server.name,
        start=server.spawn,
        ready=server.ready,
        stop_signal=server.stop_signal,
        kill_signal=server.kill_signal,
        close=server.close,
    )


def http_ready(url: str, timeout: float = 1.0) -> Callable[[], bool]:
    """Make a readiness check: a loopback URL answers 200."""

    def check() -> bool:
        try:
            with urlopen(url, timeout=timeout) as answer:  # noqa: S310 - our own loopback URL
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    return check
