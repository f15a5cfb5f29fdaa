"""Processes that tests start: they heed signals, and are gone when the test is over."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing.embedded import orphans
from tests.waiting import PATIENCE


@contextmanager
def running(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **streams: Any,
) -> Iterator["subprocess.Popen[str]"]:
    """Run a command for the length of a `with` block; then it is killed with its children.

    It leads a session of its own, has the default reaction to every signal whatever the test's
    own shell ignores, and is killed with the test. `streams` are those of `Popen`.
    """
    process = subprocess.Popen(
        orphans.tied(command), env=env, cwd=cwd, text=True, start_new_session=True, **streams
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, and return what it said."""
    pipe = subprocess.PIPE
    with running(command, env=env, cwd=cwd, stdin=stdin, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(command, process.returncode, out, err)
