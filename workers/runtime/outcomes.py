"""Outcomes that are being written; while the database doesn't take one, nothing more is sent.

An outcome that can't be written (a full disk, a server that went away) is kept here and written as
soon as the database takes it. Meanwhile this process begins no other call: its outcome couldn't be
written either, and what is known of the provider would fall behind it, call by call.

If the process ends first, nothing is lost: the call stays open and is asked for again under its
key.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from billing.errors import first_line

logger = logging.getLogger(__name__)

TRIES: Final = 5
PAUSE_SECONDS: Final = 0.5
_OF_ONE_ROW: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.QueryCanceled,  # its statement took too long
)
CANT_WRITE: Final = (OperationalError, InternalError, InterfaceError, NoConnectionFree)


@dataclass(frozen=True, slots=True)
class _Kept:
    what: str
    write: Callable[[], object]
    good_until: float | None


class Outcomes:
    """Writes outcomes of calls, and keeps those that the database doesn't take."""

    def __init__(self, reported: Callable[[int], None] | None = None) -> None:
        self._kept: deque[_Kept] = deque()
        self._writing = threading.Lock()
        self.reported = reported or (lambda _: None)

    def write(
        self, what: str, write: Callable[[], object], *, good_for: float | None = None
    ) -> None:
        """Write an outcome now, with a few tries; keep it if none succeeds, and raise.

        `write` may run several times. `good_for` is the number of seconds after which it may not
        run any more: another process may have asked again since. Nobody else begins a call from
        the first failed try on (`held`).
        """
        try:
            write()
            return
        except CANT_WRITE as error:
            if _of_one_row(error):
                _again(write, error)
                return
            self._keep(what, write, good_for, error)
            failed = error
        for _ in range(TRIES - 1):
            time.sleep(PAUSE_SECONDS)
            if not self.held():
                return
        raise failed

    def held(self) -> bool:
        """Write what is kept, and tell whether something still is: then nothing may be sent."""
        if not self._kept:
            return False
        if self._writing.acquire(blocking=False):
            try:
                self._write_kept()
            finally:
                self._writing.release()
        return bool(self._kept)

    def check(self) -> str | None:
        """Return why this process isn't ready, or None."""
        count = len(self._kept)
        return f"{count} outcomes can't be written, nothing is sent" if count else None

    def _keep(
        self, what: str, write: Callable[[], object], good_for: float | None, error: Exception
    ) -> None:
        until = None if good_for is None else time.monotonic() + good_for
        self._kept.append(_Kept(what, write, until))
        self.reported(len(self._kept))
        logger.error("%s: the outcome can't be written: %s", what, first_line(error))

    def _write_kept(self) -> None:
        while self._kept:
            kept = self._kept[0]
            try:
                if kept.good_until is None or time.monotonic() < kept.good_until:
                    kept.write()
                    logger.info("%s: the outcome is written", kept.what)
            except CANT_WRITE as error:
                if not _of_one_row(error):
                    return
                logger.warning("%s: asked for again: %s", kept.what, first_line(error))
            except Exception:
                # The call stays open and is asked for again, where the error shows once more.
                logger.exception("%s: the outcome is refused", kept.what)
            self._kept.popleft()
            self.reported(len(self._kept))


def _of_one_row(error: Exception) -> bool:
    """Tell whether only this row can't be written now: others can."""
    return isinstance(error, DBAPIError) and isinstance(error.orig, _OF_ONE_ROW)


def _again(write: Callable[[], object], error: Exception) -> None:
    for _ in range(TRIES - 1):
        time.sleep(PAUSE_SECONDS)
        try:
            write()
        except OperationalError as again:
            if not _of_one_row(again):
                raise
            error = again
        else:
            return
    raise error
