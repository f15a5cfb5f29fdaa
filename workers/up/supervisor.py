"""Keeps a set of child processes running: started in order, restarted when they end, stopped in
reverse.

A child starts once every child before it has been ready. One that ends is started again after a
growing, jittered pause; those after it are left alone, as each of them can do without the others
for a while. Until all children have been ready once, a child that keeps failing ends the
supervisor: a restart wouldn't help.

Everything happens in the calling thread, which has to be the main one; only threads copy the
children's output. No child outlives this process (see `billing.embedded.orphans`).
"""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import IO, Self

from billing.errors import Unavailable
from billing.workers.up.child import Child, ChildState
from billing.workers.up.child_output import ChildOutput
from billing.workers.up.child_spec import ChildSpec, Pauses
from billing.workers.up.state_file import ChildStatus, write_status

_POLL = 0.1


class Supervisor:
    """Runs children for as long as it is asked to; `run` does it all for a command.

    `wall` says the time, for people to read in the state file only.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        wall: Callable[[], datetime],
        state_file: Path | None = None,
        log_dir: Path | None = None,
        echo: IO[str] | None = sys.stderr,
        pauses: Pauses | None = None,
        failures_max: int = 5,
    ) -> None:
        names = [spec.name for spec in children]
        assert len(set(names)) == len(names), "children's names are unique"
        self._output = ChildOutput(echo, log_dir)
        pauses = pauses or Pauses()
        self._children = [Child(spec, pauses, self._output) for spec in children]
        self._wall = wall
        self._state_file = state_file
        self._failures_max = failures_max
        self._interrupts = 0
        self._written: list[tuple[str, int | None, str]] = []
        self._since: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Start everything, keep it running until Ctrl-C, TERM or HUP, then stop it in order.

        `on_ready` is called once, when everything is ready. A second Ctrl-C while stopping
        stops by force. Raises: Unavailable when a child can't be started.
        """
        with self._signals_counted():
            try:
                self.start()
                if on_ready is not None and not self._interrupts:
                    on_ready()
                while not self._interrupts:
                    self.pump(_POLL)
            finally:
                self.stop()

    def start(self) -> None:
        """Start every child in order and return when all are ready.

        Raises: Unavailable when one keeps failing; those already running go on until `stop`.
        """
        while not self.all_ready() and not self._interrupts:
            for child in self._children:
                if child.failures >= self._failures_max and not child.been_ready:
                    said = self._output.last.get(child.spec.name, "it said nothing")
                    raise Unavailable(
                        f"{child.spec.name} doesn't start: {child.last_exit}; {said.strip()}",
                        remedy="read its output above, or in its log",
                    )
            self.pump(_POLL)

    def pump(self, seconds: float = 0.0) -> None:
        """Restart children that have ended, then sleep. Whoever uses `start` calls this often."""
        self._step()
        if seconds > 0:
            time.sleep(min(seconds, _POLL / 2) if not self.all_ready() else seconds)

    def all_ready(self) -> bool:
        """Tell whether every child is ready now."""
        return all(child.state is ChildState.READY for child in self._children)

    def status(self) -> list[ChildStatus]:
        """Return every child's state, in order."""
        return [
            ChildStatus(
                name=child.spec.name,
                state=child.state.value,
                pid=child.process.pid if child.process else None,
                restarts=child.restarts,
                since=self._since.get(child.spec.name, ""),
                last_exit=child.last_exit,
            )
            for child in self._children
        ]

    def stop(self) -> None:
        """Stop every child, the last one first, each given its own time to end well."""
        for child in reversed(self._children):
            if child.state is not ChildState.STOPPED:
                self._stop_one(child)
                self._write_state()
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)
        self._output.close()

    def _step(self) -> None:
        for child in self._children:
            child.step(time.monotonic())
            if not child.been_ready:
                break
        self._write_state()

    def _stop_one(self, child: Child) -> None:
        steps = ((child.spec.stop_signal, child.spec.stop_timeout), (child.spec.kill_signal, 5.0))
        for signum, timeout in steps:
            child.signal(signum)
            interrupts = self._interrupts
            deadline = time.monotonic() + timeout
            while child.alive() and time.monotonic() < deadline and self._interrupts == interrupts:
                time.sleep(0.02)
            if not child.alive():
                break
            self._output.write("supervisor", f"{child.spec.name} doesn't stop; using more force")
        child.end()

    @contextlib.contextmanager
    def _signals_counted(self) -> Iterator[None]:
        def count(_signum: int, _frame: FrameType | None) -> None:
            self._interrupts += 1

        signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
            signals.remove(signal.SIGHUP)
        before = {signum: signal.signal(signum, count) for signum in signals}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _write_state(self) -> None:
        """Replace the state file if anything changed."""
        now = [
            (child.state.value, child.process.pid if child.process else None, child.last_exit or "")
            for child in self._children
        ]
        if now == self._written:
            return
        wall = self._wall().isoformat(timespec="seconds")
        for index, child in enumerate(self._children):
            if not self._written or self._written[index] != now[index]:
                self._since[child.spec.name] = wall
        self._written = now
        if self._state_file is not None:
            write_status(self._state_file, self.status())
