"""One child process: started, watched, and started again after a pause."""

import contextlib
import os
import signal
import subprocess
from enum import StrEnum

from billing.errors import Unavailable
from billing.workers.up.child_output import ChildOutput
from billing.workers.up.child_spec import ChildSpec, Pauses


class ChildState(StrEnum):
    """The state of a child."""

    WAITING = "waiting"  # for those before it
    STARTING = "starting"
    READY = "ready"
    PAUSING = "pausing"  # before the next start
    STOPPED = "stopped"


class Child:
    """One child: its present process, and how the earlier ones ended."""

    def __init__(self, spec: ChildSpec, pauses: Pauses, output: ChildOutput) -> None:
        self.spec = spec
        self.state = ChildState.WAITING
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.failures = 0  # in a row
        self.last_exit: str | None = None
        self.been_ready = False
        self._starts = 0
        self._pauses = pauses
        self._output = output
        self._entered = 0.0
        self._resume_at = 0.0

    def step(self, at: float) -> None:
        """Do what is due at this (monotonic) time."""
        if self.state is ChildState.WAITING:
            self._start(at)
        elif self.state is ChildState.PAUSING:
            if at >= self._resume_at:
                self._start(at)
        elif self.process is not None and (code := self.process.poll()) is not None:
            self._fell(at, _exit_in_words(code))
        elif self.state is ChildState.STARTING:
            self._await_ready(at)
        elif self.failures and at - self._entered >= self._pauses.steady:
            self.failures = 0

    def alive(self) -> bool:
        """Tell whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, signum: int) -> None:
        """Send its process a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)

    def end(self) -> None:
        """Kill what is left of the child and its group, and close its handles."""
        self._let_go()
        self.state = ChildState.STOPPED
        if self.spec.close is not None:
            self.spec.close()

    def _start(self, at: float) -> None:
        read, write = os.pipe()
        try:
            self.process = self.spec.spawn(write)
        except (OSError, Unavailable) as error:
            os.close(read)
            self._fell(at, str(error))
            return
        finally:
            os.close(write)
        self._output.copy(self.spec.name, read)
        self.restarts += self._starts > 0
        self._starts += 1
        self._enter(ChildState.STARTING, at)

    def _await_ready(self, at: float) -> None:
        if self.spec.ready is None or self.spec.ready():
            self.been_ready = True
            self._enter(ChildState.READY, at)
        elif at - self._entered > self.spec.ready_timeout:
            self._fell(at, f"not ready within {self.spec.ready_timeout:g} s")

    def _fell(self, at: float, why: str) -> None:
        self._let_go()
        self.failures += 1
        self.last_exit = why
        pause = self._pauses.before(self.failures)
        self._resume_at = at + pause
        self._enter(ChildState.PAUSING, at)
        self._output.write("supervisor", f"{self.spec.name}: {why}; next start in {pause:.1f} s")

    def _let_go(self) -> None:
        """Kill what is left of the child, with helpers of its own, once: a pid is used again."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _enter(self, state: ChildState, at: float) -> None:
        self.state = state
        self._entered = at


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
