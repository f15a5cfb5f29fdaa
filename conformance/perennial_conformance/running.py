"""The conversation with an adapter: one JSON object a line, over its standard input and output."""

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from perennial_conformance.comparing import Outcome, Status, judge
from perennial_conformance.loading import Case

PROTOCOL: Final = 1
_FAREWELL: Final = 30.0  # seconds that an adapter has to end after its input was closed


class AdapterFault(Exception):
    """The adapter doesn't speak the protocol: it didn't start, ended, was silent or unreadable."""


@dataclass(frozen=True, slots=True)
class Run:
    """What an engine answered to the cases."""

    engine: str
    version: str
    surface: str
    outcomes: tuple[Outcome, ...]

    def count(self, status: Status) -> int:
        """Return how many cases have a status."""
        return sum(outcome.status is status for outcome in self.outcomes)


def run(command: Sequence[str], cases: Iterable[Case], timeout: float) -> Run:
    """Ask an adapter every case. Raises: AdapterFault.

    `timeout` is how many seconds it may take for the greeting, and for each answer.
    """
    adapter = _Adapter(command, timeout)
    try:
        hello = adapter.ask({"protocol": PROTOCOL})
        if hello.get("protocol") != PROTOCOL or not hello.get("engine"):
            raise AdapterFault(f"it greets with {hello}, not with protocol {PROTOCOL} and engine")
        outcomes = tuple(_asked(adapter, case) for case in cases)
    except AdapterFault:
        adapter.kill()
        raise
    finally:
        adapter.close()
    version, surface = str(hello.get("version", "")), str(hello.get("surface", ""))
    return Run(str(hello["engine"]), version, surface, outcomes)


def _asked(adapter: "_Adapter", case: Case) -> Outcome:
    reply = adapter.ask({"id": case.id, "kind": case.kind, "input": case.input})
    if reply.get("id") != case.id:
        raise AdapterFault(f"it was asked {case.id} and answers {reply.get('id')!r}")
    return judge(case, reply)


class _Adapter:
    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._timeout = timeout
        self._lines: queue.Queue[str] = queue.Queue()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        except OSError as error:
            raise AdapterFault(f"it doesn't start: {error}") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Hand over lines; the empty one says that no more will come."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                self._lines.put(line)
        self._lines.put("")

    def ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=self._timeout)
        except BrokenPipeError:
            line = ""
        except queue.Empty:
            what = question.get("id", "the greeting")
            raise AdapterFault(f"no answer to {what} in {self._timeout:g} s") from None
        if not line:
            raise AdapterFault(f"it ended, at {question.get('id', 'the greeting')}")
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise AdapterFault(f"it writes {line[:200]!r}, not a JSON object")
        return reply

    def kill(self) -> None:
        """End it without waiting."""
        self._process.kill()

    def close(self) -> None:
        """Close its input, which asks it to end, and end it if it doesn't."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._reader.join(_FAREWELL)  # a child of the adapter may hold its output open
        if not self._reader.is_alive():
            self._process.stdout.close()
