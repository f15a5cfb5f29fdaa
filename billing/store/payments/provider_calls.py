"""Calls to the provider: one row a request, committed before it is sent.

A call is *open* until it has a definite outcome. A subject has at most one open call of a kind,
which is sent again under the same key and with the same request until it has an outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text, update

from billing.rules.payments import AttemptOutcome, CallKind
from billing.store.arrays import literal
from billing.store.rows import reader
from billing.store.tables import provider_calls

ERROR_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call as stored; `outcome` is None while it is open.

    `subject_id` is the object of the call (for a charge, a capture or a void the payment), `n` the
    number of the call of this kind. `sends` counts its sends; `answered` is the number of the last
    send that got any answer, even an indefinite one.
    """

    subject_id: UUID
    kind: CallKind
    n: int
    customer_id: UUID
    provider: str
    idempotency_key: str
    request: Mapping[str, Any]
    first_sent_at: datetime
    sends: int
    answered: int
    unknown_since: datetime | None
    error_class: str | None
    error_message: str | None
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    provider_request_id: str | None

    @property
    def never_executed(self) -> bool:
        """Tell whether every send before the last was certainly not executed."""
        return self.unknown_since is None and self.answered == self.sends - 1


call_of = reader(ProviderCall)

# The key of a new call ends in its number, so that the key of a refused call isn't used again.
BEGIN: Final = """
    INSERT INTO provider_calls AS c
           (subject_id, kind, n, customer_id, provider, idempotency_key, request, first_sent_at)
    SELECT :subject, :kind, next.n, :customer, :provider,
           CAST(:key AS text) || next.n, CAST(:request AS jsonb), :now
      FROM (SELECT coalesce(CAST(:n AS integer),
                            (SELECT coalesce(max(n), 0) + 1 FROM provider_calls
                              WHERE subject_id = :subject AND kind = :kind)) AS n) next
        ON CONFLICT (subject_id, kind) WHERE finished_at IS NULL
        DO UPDATE SET sends = c.sends + 1
    RETURNING *
    """
_BEGIN = text(BEGIN)


def values_of(
    *,
    kind: CallKind,
    subject_id: UUID,
    customer_id: UUID,
    provider: str,
    key: str,
    request: Mapping[str, Any],
    now: datetime,
    n: int | None = None,
) -> dict[str, Any]:
    """Return the values that `BEGIN` takes."""
    return {
        "kind": kind,
        "subject": subject_id,
        "n": n,
        "customer": customer_id,
        "provider": provider,
        "key": key,
        "request": dumps(dict(request)),
        "now": now,
    }


def begin(
    conn: Connection,
    *,
    kind: CallKind,
    subject_id: UUID,
    customer_id: UUID,
    provider: str,
    key: str,
    request: Mapping[str, Any],
    now: datetime,
) -> ProviderCall:
    """Count a send: of the open call as it was committed, or else of a new one; return the call.

    A new one gets the request given, the next number, and the key that `key` and its number make.
    """
    values = values_of(
        kind=kind,
        subject_id=subject_id,
        customer_id=customer_id,
        provider=provider,
        key=key,
        request=request,
        now=now,
    )
    return call_of(conn.execute(_BEGIN, values).one())


_SEND_AGAIN = text(
    """
    UPDATE provider_calls SET sends = sends + 1
     WHERE subject_id = :subject AND kind = :kind AND finished_at IS NULL
    RETURNING *
    """
)


def send_again(conn: Connection, subject_id: UUID, kind: CallKind) -> ProviderCall:
    """Count one more send of the subject's open call, as it was committed; return the call."""
    return call_of(conn.execute(_SEND_AGAIN, {"subject": subject_id, "kind": kind}).one())


_STILL_OPEN = text(
    """
    UPDATE provider_calls
       SET answered = greatest(answered, :send), error_class = :error_class,
           error_message = :error_message,
           unknown_since = coalesce(unknown_since, CAST(:unknown_since AS timestamptz))
     WHERE subject_id = :subject AND kind = :kind AND n = :n AND finished_at IS NULL
    """
)


def still_open(
    conn: Connection,
    call: ProviderCall,
    *,
    error_class: str,
    error_message: str,
    unknown_since: datetime | None,
) -> bool:
    """Record that this send had no definite answer; the call stays open. False when it had an
    end.
    """
    result = conn.execute(
        _STILL_OPEN,
        {
            "subject": call.subject_id,
            "kind": call.kind,
            "n": call.n,
            "send": call.sends,
            "error_class": error_class,
            "error_message": error_message[:ERROR_MAX],
            "unknown_since": unknown_since,
        },
    )
    return result.rowcount == 1


FINISH: Final = """
    UPDATE provider_calls AS c
       SET outcome = x.outcome, finished_at = :now, provider_request_id = :request_id
      FROM unnest(CAST(:kinds AS text[]), CAST(:outcomes AS text[])) AS x(kind, outcome)
     WHERE c.subject_id = :subject AND c.kind = x.kind AND c.finished_at IS NULL
    """
_FINISH = text(FINISH)


def ends_of(
    subject_id: UUID,
    outcomes: Mapping[CallKind, AttemptOutcome],
    now: datetime,
    provider_request_id: str | None = None,
) -> dict[str, Any]:
    """Return the values that `FINISH` takes."""
    return {
        "subject": subject_id,
        "kinds": literal(list(outcomes)),
        "outcomes": literal(list(outcomes.values())),
        "now": now,
        "request_id": provider_request_id,
    }


def finish(
    conn: Connection,
    subject_id: UUID,
    outcomes: Mapping[CallKind, AttemptOutcome],
    now: datetime,
    provider_request_id: str | None = None,
) -> None:
    """Write the outcome of the subject's open calls of these kinds, if there are any."""
    conn.execute(_FINISH, ends_of(subject_id, outcomes, now, provider_request_id))


_OPEN = text(
    "SELECT * FROM provider_calls"
    " WHERE subject_id = :subject AND kind = :kind AND finished_at IS NULL"
)


def open_call(conn: Connection, subject_id: UUID, kind: CallKind) -> ProviderCall | None:
    """Return the subject's call of this kind that has no definite outcome yet, if there is one."""
    row = conn.execute(_OPEN, {"subject": subject_id, "kind": kind}).one_or_none()
    return call_of(row) if row else None


UNKNOWN_ATTEMPT: Final = (
    "kind IN ('charge', 'cancel') AND finished_at IS NULL AND unknown_since IS NOT NULL"
)
"""In SQL, a call of an attempt to collect whose outcome isn't known."""

_LAST = text(
    "SELECT * FROM provider_calls WHERE subject_id = :subject AND kind = :kind"
    " ORDER BY n DESC LIMIT 1"
)


_SUCCEEDED_CHARGE = text(
    "SELECT * FROM provider_calls WHERE subject_id = :subject AND kind = 'charge'"
    " AND outcome = 'succeeded' ORDER BY n DESC LIMIT 1"
)


def succeeded_charge(conn: Connection, payment_id: UUID) -> ProviderCall | None:
    """Return the newest charge of a payment that succeeded, if there was one."""
    row = conn.execute(_SUCCEEDED_CHARGE, {"subject": payment_id}).one_or_none()
    return call_of(row) if row else None


def last(conn: Connection, subject_id: UUID, kind: CallKind) -> ProviderCall | None:
    """Return the subject's newest call of this kind, if there was one."""
    row = conn.execute(_LAST, {"subject": subject_id, "kind": kind}).one_or_none()
    return call_of(row) if row else None


def finish_one(
    conn: Connection,
    call: ProviderCall,
    outcome: AttemptOutcome,
    now: datetime,
    provider_request_id: str | None = None,
) -> bool:
    """Write the outcome of this call; False when it had one already."""
    ended = update(provider_calls).where(
        provider_calls.c.subject_id == call.subject_id,
        provider_calls.c.kind == call.kind,
        provider_calls.c.n == call.n,
        provider_calls.c.finished_at.is_(None),
    )
    result = conn.execute(
        ended.values(outcome=outcome, finished_at=now, provider_request_id=provider_request_id)
    )
    return result.rowcount == 1
