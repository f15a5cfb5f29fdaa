"""Attempts of collecting a payment: one row each, and a call to the provider under its number.

The row keeps what the attempt was and what it came to; its call (`provider_calls`) is committed
with it and keeps what was sent. Both are begun in one statement, and finished in one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.decisions import Decision
from billing.rules.dunning import DeclineClass
from billing.rules.payments import AttemptKind, AttemptOutcome, CallKind
from billing.store.payments import provider_calls
from billing.store.payments.decisions import with_decision
from billing.store.payments.provider_calls import ProviderCall
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as stored, with its call; `outcome` is None while both are open."""

    payment_id: UUID
    n: int
    kind: AttemptKind
    idempotency_key: str
    payment_method_id: UUID
    request: Mapping[str, Any]
    rung: int
    first_sent_at: datetime
    sends: int
    unknown_since: datetime | None
    last_error: str | None
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    decline_code: str | None
    advice_code: str | None
    decline_class: DeclineClass | None
    message: str | None
    provider_request_id: str | None
    decision: str | None
    decision_facts: Mapping[str, Any]


class AttemptEnd(TypedDict, total=False):
    """The columns that are written with an attempt's outcome."""

    decline_code: str
    advice_code: str | None
    decline_class: DeclineClass
    message: str
    decision: Decision


_of = reader(Attempt)

_BEGIN = text(
    f"""
    WITH call AS ({provider_calls.BEGIN}),
         begun AS (
           INSERT INTO attempts (payment_id, customer_id, n, kind, payment_method_id, rung)
           SELECT subject_id, customer_id, n, :attempt_kind, :method, :rung FROM call)
    SELECT * FROM call
    """  # noqa: S608  a constant of ours
)


def begin(
    conn: Connection,
    *,
    payment_id: UUID,
    customer_id: UUID,
    provider: str,
    n: int,
    kind: AttemptKind,
    payment_method_id: UUID,
    rung: int,
    key: str,
    request: Mapping[str, Any],
    now: datetime,
) -> ProviderCall:
    """Insert an attempt with its call, which is about to be sent; return the call.

    The payment has no open attempt. The call's key is what `key` and `n` make.
    """
    call = provider_calls.values_of(
        kind=CallKind.CHARGE,
        subject_id=payment_id,
        customer_id=customer_id,
        provider=provider,
        key=key,
        request=request,
        now=now,
        n=n,
    )
    values = {"attempt_kind": kind, "method": payment_method_id, "rung": rung}
    return provider_calls.call_of(conn.execute(_BEGIN, call | values).one())


_FINISH = text(
    f"""
    WITH ended AS ({provider_calls.FINISH} RETURNING c.subject_id, c.n, c.outcome, c.finished_at)
    UPDATE attempts AS a
       SET outcome = e.outcome, finished_at = e.finished_at, decline_code = :decline_code,
           advice_code = :advice_code, decline_class = :decline_class, message = :message,
           decision = :decision, decision_facts = CAST(:decision_facts AS jsonb)
      FROM ended e
     WHERE a.payment_id = e.subject_id AND a.n = e.n AND a.finished_at IS NULL
    """  # noqa: S608  a constant of ours
)
_NO_END: Final[dict[str, Any]] = dict.fromkeys(AttemptEnd.__annotations__)


def finish(
    conn: Connection,
    payment_id: UUID,
    outcome: AttemptOutcome,
    now: datetime,
    provider_request_id: str | None = None,
    **values: Unpack[AttemptEnd],
) -> None:
    """Write the definite end of a payment's open attempt and of its call, if it has one."""
    ended = {CallKind.CHARGE: outcome}
    call = provider_calls.ends_of(payment_id, ended, now, provider_request_id)
    end = with_decision(_NO_END | values)
    facts = dumps(end.pop("decision_facts", {}))
    conn.execute(_FINISH, end | call | {"decision_facts": facts})


_WITH_CALL: Final = """
SELECT a.payment_id, a.n, a.kind, a.payment_method_id, a.rung, a.finished_at, a.outcome,
       a.decline_code, a.advice_code, a.decline_class, a.message, a.decision,
       a.decision_facts, c.idempotency_key, c.request, c.first_sent_at, c.sends, c.unknown_since,
       c.error_class || ': ' || c.error_message AS last_error, c.provider_request_id
  FROM attempts a
  JOIN provider_calls c ON c.subject_id = a.payment_id AND c.kind = 'charge' AND c.n = a.n
 WHERE a.payment_id = :payment
"""
_OF_PAYMENT = text(_WITH_CALL + " ORDER BY a.n")


def of_payment(conn: Connection, payment_id: UUID) -> list[Attempt]:
    """Return a payment's attempts in order."""
    return [_of(row) for row in conn.execute(_OF_PAYMENT, {"payment": payment_id})]


_DECLINES_OF_METHOD = text(
    """
    SELECT d.finished_at
      FROM attempts a JOIN attempts d ON d.payment_method_id = a.payment_method_id
     WHERE a.payment_id = :payment AND a.n = :n
       AND d.outcome = 'declined' AND d.finished_at > :since
     ORDER BY d.finished_at
    """
)


def declines_of_method(
    conn: Connection, payment_id: UUID, n: int, since: datetime
) -> list[datetime]:
    """Return the instants since then at which the attempt's payment method was declined, on any
    invoice.
    """
    rows = conn.execute(_DECLINES_OF_METHOD, {"payment": payment_id, "n": n, "since": since})
    return [row.finished_at for row in rows]


_KIND = text("SELECT kind FROM attempts WHERE payment_id = :payment AND n = :n")


def kind_of(conn: Connection, payment_id: UUID, n: int) -> AttemptKind:
    """Return why an attempt was made."""
    return AttemptKind(conn.execute(_KIND, {"payment": payment_id, "n": n}).scalar_one())
