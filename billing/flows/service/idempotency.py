"""Idempotency keys of API callers: one request has one effect.

    Claim            the key is this caller's to work on, until its lease ends
    KeyedAnswer      the request was answered before: here is that answer, word for word
    KeyReused        the key was used for another request; nothing was done
    RequestInFlight  the same request is being worked on; nothing was done

A key is claimed together with the id of the object that the request makes. A repetition after a
crash works on the same id, so there is one payment a key, however often the request is sent. Leases
are real time and longer than any call to the provider.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.policy import CLOCK_TOLERANCE
from billing.ids import new_id
from billing.store.access import idempotency as stored

KEY_LENGTH_MAX: Final = 255

# The result of a request, as the status of its answer.
DONE: Final = 200
MADE: Final = 201
PENDING: Final = 202
DECLINED: Final = 402
REFUSED: Final = 422


class KeyReused(Conflict):
    """The key came with other parameters before."""

    code = ErrorCode.IDEMPOTENCY_KEY_REUSED


class RequestInFlight(Conflict):
    """The same request is being worked on at this moment."""

    code = ErrorCode.REQUEST_IN_FLIGHT


@dataclass(frozen=True, slots=True)
class KeyedAnswer:
    """The answer to a request: an HTTP status, and a JSON object."""

    status: int
    body: Mapping[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A caller's request under a key. `scope` is the caller, `parameters` are JSON."""

    scope: str
    key: str
    operation: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not (1 <= len(self.key) <= KEY_LENGTH_MAX and self.key.isascii()) or any(
            not char.isprintable() or char == " " for char in self.key
        ):
            raise BadInput(
                f"an idempotency key is 1 to {KEY_LENGTH_MAX} printable ASCII characters,"
                " without spaces",
                where="Idempotency-Key",
                code=ErrorCode.IDEMPOTENCY_KEY_MALFORMED,
            )

    def digest(self) -> bytes:
        """Return the hash by which this request differs from another under the same key."""
        text = json.dumps(
            [self.operation, self.parameters], sort_keys=True, separators=(",", ":"), default=str
        )
        return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that we have leased; `resource_id` is the id of the object that the request makes.

    `taken_up` tells that another process began the request before and didn't finish.
    """

    request: KeyedRequest
    resource_id: UUID
    taken_up: bool
    until: datetime


def claim(
    conn: Connection, request: KeyedRequest, *, wall: datetime, lease: timedelta
) -> Claim | KeyedAnswer:
    """Claim a key in the caller's transaction, or return the answer that was given before.

    Raises `KeyReused`, `RequestInFlight`.
    """
    fresh, until = new_id(), wall + lease
    if stored.claim(
        conn,
        scope=request.scope,
        key=request.key,
        operation=request.operation,
        request_hash=request.digest(),
        resource_id=fresh,
        lease_until=until,
        at=wall,
    ):
        return Claim(request, fresh, taken_up=False, until=until)
    row = stored.lock(conn, request.scope, request.key)
    if row.request_hash != request.digest():
        raise KeyReused(
            f"this idempotency key was used for another request ({row.operation})",
            where="Idempotency-Key",
        )
    if row.finished_at is not None:
        return KeyedAnswer(row.status, row.response, replayed=True)
    # A lease that runs for longer than one can was set by a wrong clock, and is over.
    if row.lease_until is not None and wall < row.lease_until <= until + CLOCK_TOLERANCE:
        raise RequestInFlight(
            "the same request is being worked on",
            where="Idempotency-Key",
        )
    stored.lease(conn, request.scope, request.key, until)
    return Claim(request, row.resource_id, taken_up=True, until=until)


def keep(conn: Connection, claimed: Claim, answer: KeyedAnswer, *, wall: datetime) -> KeyedAnswer:
    """Keep the answer for every repetition, in the caller's transaction, and return the kept one.

    Where our lease ran out, another process may have answered already: then its answer stays.
    """
    request = claimed.request
    if stored.finish(
        conn,
        request.scope,
        request.key,
        status=answer.status,
        response=answer.body,
        at=wall,
    ):
        return answer
    row = stored.lock(conn, request.scope, request.key)
    return KeyedAnswer(row.status, row.response, replayed=True)


def release(engine: Engine, claimed: Claim) -> None:
    """End the lease at once, where the request got no answer to be kept.

    Does nothing where our lease ran out and another process holds the key. When the write fails,
    the lease runs out.
    """
    request = claimed.request
    with suppress(SQLAlchemyError), marked(CrashPoint.KEY_RELEASED), engine.begin() as conn:
        stored.release(conn, request.scope, request.key, claimed.until)


def once(
    engine: Engine,
    request: KeyedRequest,
    work: Callable[[Connection], KeyedAnswer],
    *,
    wall: datetime,
    lease: timedelta,
) -> KeyedAnswer:
    """Do work without the provider in one transaction with its key, or return the earlier answer.

    A refusal leaves no trace, not even of the key. Raises what `claim` and `work` raise.
    """
    return making(engine, request, lambda conn, _: work(conn), wall=wall, lease=lease)


def making(
    engine: Engine,
    request: KeyedRequest,
    work: Callable[[Connection, UUID], KeyedAnswer],
    *,
    wall: datetime,
    lease: timedelta,
) -> KeyedAnswer:
    """Do as `once`; `work` makes an object of the id that the key was claimed with."""
    with marked(CrashPoint.KEYED_WORK_DONE), engine.begin() as conn:
        claimed = claim(conn, request, wall=wall, lease=lease)
        if isinstance(claimed, KeyedAnswer):
            return claimed
        return keep(conn, claimed, work(conn, claimed.resource_id), wall=wall)
