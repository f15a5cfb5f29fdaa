"""What ends a story before its end, as a finding of one line, and the lines of code behind it."""

import re
import traceback
from typing import Final

from tests.simulation.schedule import Crash, Crashed

LONGEST: Final = 300  # of a message; the trace has all of it
_WHERE: Final = re.compile(r" \[[^\]]*\]$")


def as_finding(error: BaseException, where: str) -> str:
    """Return a finding: who ended, by what, and in brackets where in the story."""
    if isinstance(error, Crashed):
        return of_crash(error.crash, where)
    return f"the story ends by {_told(error)} [{where}]"


def of_crash(crash: Crash, where: str) -> str:
    """Return a finding of a process that ended by an error of its own."""
    return (
        f"{crash.name} crashes by {_told(crash.error)} [{where}, {crash.point or 'at its start'}]"
    )


def in_full(error: BaseException) -> list[str]:
    """Return an error with the places where it was raised, line by line."""
    if isinstance(error, Crashed):
        error = error.crash.error
    return "".join(traceback.format_exception(error)).splitlines()


def kind_of(finding: str) -> str:
    """Return what a finding is about: without numbers and ids, and wherever in the story."""
    words = _WHERE.sub("", finding.splitlines()[0])
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[\d.:+-]+", "#", words)


def _told(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:LONGEST]}{'...' if len(words) > LONGEST else ''}"
