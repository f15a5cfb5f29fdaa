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
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import IO, Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from billing.embedded import orphans
from billing.embedded.servers import EmbeddedServer
from billing.errors import Unavailable

_POLL = 0.1
_LOG_BYTES_MAX = 5_000_000
_LOG_FILES_KEPT = 3
_CLOCK_SLACK = 10.0  # seconds; setting the clock moves every process's start
_LINE_BYTES_MAX = 64 * 1024


class ChildState(StrEnum):
    """The state of a child."""

    WAITING = "waiting"  # for those before it
    STARTING = "starting"
    READY = "ready"
    PAUSING = "pausing"  # before the next start
    STOPPED = "stopped"


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


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What `billing status` shows of a child; `since` is when it entered this state."""

    name: str
    state: str
    pid: int | None
    restarts: int
    since: str
    last_exit: str | None


class _Output:
    """Where children's lines go: prefixed to a stream, and each child's own rotated file."""

    def __init__(self, stream: IO[str] | None, folder: Path | None) -> None:
        self._stream = stream
        self._folder = folder
        self._files: dict[str, RotatingFileHandler] = {}
        self._copiers: list[threading.Thread] = []
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        with self._lock:
            if self._stream is not None:
                try:
                    self._stream.write(f"{name:<10} | {line}\n")
                    self._stream.flush()
                except (OSError, ValueError):  # the pipe's reader is gone; the files go on
                    self._stream = None
            if self._folder is not None:
                self._file(name).emit(logging.makeLogRecord({"msg": line}))

    def copy(self, name: str, pipe: int) -> None:
        """Copy a child's lines from now on until it closes its end."""
        copier = threading.Thread(target=self._copy, args=(name, pipe), name=name, daemon=True)
        self._copiers = [thread for thread in self._copiers if thread.is_alive()] + [copier]
        copier.start()

    def close(self) -> None:
        for copier in self._copiers:
            copier.join(timeout=1.0)
        with self._lock:
            self._folder = None
            for file in self._files.values():
                file.close()

    def _copy(self, name: str, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines:
            while line := lines.readline(_LINE_BYTES_MAX):
                self.write(name, line.decode(errors="replace").rstrip("\r\n"))

    def _file(self, name: str) -> RotatingFileHandler:
        assert self._folder is not None
        if name not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._files[name] = RotatingFileHandler(
                self._folder / f"{name}.log",
                maxBytes=_LOG_BYTES_MAX,
                backupCount=_LOG_FILES_KEPT,
                encoding="utf-8",
            )
        return self._files[name]


class _Child:
    """One child: its present process, and how the earlier ones ended."""

    def __init__(self, spec: ChildSpec, pauses: Pauses, output: _Output) -> None:
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
        return self.process is not None and self.process.poll() is None

    def signal(self, signum: int) -> None:
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
        self._output = _Output(echo, log_dir)
        pauses = pauses or Pauses()
        self._children = [_Child(spec, pauses, self._output) for spec in children]
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
                    raise Unavailable(
                        f"{child.spec.name} doesn't start: {child.last_exit}",
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

    def _stop_one(self, child: _Child) -> None:
        steps = ((child.spec.stop_signal, child.spec.stop_timeout), (child.spec.kill_signal, 5.0))
        for signum, patience in steps:
            child.signal(signum)
            interrupts = self._interrupts
            deadline = time.monotonic() + patience
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
        """Replace the state file if anything changed; a reader never sees half of it."""
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
        if self._state_file is None:
            return
        content = {
            "pid": os.getpid(),
            "created": psutil.Process().create_time(),
            "children": [
                {key: getattr(status, key) for key in ChildStatus.__slots__}
                for status in self.status()
            ],
        }
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._state_file.with_suffix(".new")
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self._state_file)


def read_status(state_file: Path) -> list[ChildStatus] | None:
    """Return what a running supervisor last wrote, or None when it isn't running any more."""
    try:
        content: dict[str, Any] = json.loads(state_file.read_text())
        created = psutil.Process(content["pid"]).create_time()
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    if abs(created - content["created"]) > _CLOCK_SLACK:  # another process with that pid
        return None
    return [ChildStatus(**child) for child in content["children"]]


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


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
