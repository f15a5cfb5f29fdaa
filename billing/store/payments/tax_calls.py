"""Calls about taxes: one row a request, committed before it is sent, open until it is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, select, text, update

from billing.store import dispatch
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import tax_calls
from billing.tax import TaxDecision
from billing.tax.calls import TaxCallKind, TaxCallState

ERROR_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class TaxCall:
    """One call. `waits`: the next cycle of its subscription is opened when it has an end.

    A calculation has the `decision_id` that its answer made, and the invoice that was issued by it.
    What follows another call (a record its calculation, a reversal its record) names it.
    """

    id: UUID
    kind: TaxCallKind
    provider: str
    customer_id: UUID
    subscription_id: UUID | None
    waits: bool
    invoice_id: UUID | None
    note_id: UUID | None
    follows_id: UUID | None
    reference: str | None
    request: str
    idempotency_key: str
    state: TaxCallState
    asked_at: datetime
    ended_at: datetime | None
    answer: str | None
    provider_ref: str | None
    decision_id: UUID | None
    refusal: str | None
    sends: int
    unknown_since: datetime | None
    error_class: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Calculated:
    """A calculation that no invoice was issued by yet, with the decision that its answer made."""

    call: TaxCall
    decision: TaxDecision | None


_call_of = reader(TaxCall)
_COLUMNS: Final = tuple(tax_calls.c[name] for name in TaxCall.__dataclass_fields__)


def add(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write calls that are to be sent, all in one statement."""
    bulk_insert(conn, tax_calls, [{**row, "dispatch_after": dispatch.NOT_HELD} for row in rows])


# Quotes ask, too, and nothing comes of most of them: what is long past fits nothing.
_UNUSED: Final = text(
    """
    SELECT c.*, d.provider AS source, d.request AS decided_request, d.request_digest,
           d.response, d.valid_until, d.provider_ref AS calculation
      FROM tax_calls c LEFT JOIN tax_decisions d ON d.id = c.decision_id
     WHERE c.kind = 'calculation' AND c.invoice_id IS NULL AND c.state <> 'lapsed'
       AND c.customer_id = ANY (:customers)
       AND c.asked_at > (SELECT max(m.asked_at) FROM tax_calls m
                          WHERE m.customer_id = c.customer_id AND m.kind = 'calculation'
                            AND m.invoice_id IS NULL) - interval '14 days'
     ORDER BY c.customer_id, c.asked_at, c.id
    """
)


def unused(conn: Connection, customers: Sequence[UUID]) -> list[Calculated]:
    """Return the latest calculations for customers that no invoice has used."""
    found = conn.execute(_UNUSED, {"customers": list(customers)})
    return [Calculated(_call_of(row), _decision_of(row)) for row in found]


def _decision_of(row: Any) -> TaxDecision | None:
    if row.decision_id is None:
        return None
    return TaxDecision(
        id=row.decision_id,
        provider=row.source,
        request=row.decided_request,
        request_digest=row.request_digest,
        response=row.response,
        valid_until=row.valid_until,
        provider_ref=row.calculation,
    )


def wait_for(conn: Connection, calls: Sequence[UUID]) -> None:
    """Let the subscriptions of open calls wait for them."""
    conn.execute(update(tax_calls).where(tax_calls.c.id.in_(calls)).values(waits=True))


_USE: Final = text(
    """
    UPDATE tax_calls c SET invoice_id = u.invoice_id
      FROM unnest(CAST(:decisions AS uuid[]), CAST(:invoices AS uuid[]))
           AS u(decision_id, invoice_id)
     WHERE c.kind = 'calculation' AND c.decision_id = u.decision_id AND c.invoice_id IS NULL
    RETURNING c.*
    """
)


def use(conn: Connection, invoices: Mapping[UUID, UUID]) -> list[TaxCall]:
    """Write which invoice was issued by which decision; return the calculations of these."""
    values = {"decisions": list(invoices), "invoices": list(invoices.values())}
    return [_call_of(row) for row in conn.execute(_USE, values)]


# --- sending ------------------------------------------------------------------------------------

# A reversal is sent once what it reverses has an end.
DISPATCH_DUE: Final = dispatch.due_statement(
    "tax_calls",
    "(kind <> 'reversal' OR NOT EXISTS (SELECT FROM tax_calls f WHERE f.id = tax_calls.follows_id"
    " AND f.state = 'open'))",
)
_LEASE: Final = text(
    """
    UPDATE tax_calls AS c
       SET lease_until = :until, dispatch_after = :until, sends = c.sends + 1
      FROM (SELECT f.id FROM tax_calls f
             WHERE f.id = :id AND f.state = 'open'
               AND (f.lease_until IS NULL OR f.lease_until <= :wall
                    OR f.lease_until > :held_until)
               FOR UPDATE SKIP LOCKED) due
     WHERE c.id = due.id
    RETURNING c.*
    """
)


_ANY_OPEN: Final = text("SELECT EXISTS (SELECT FROM tax_calls WHERE next_attempt_at IS NOT NULL)")


def lease(
    conn: Connection, call_id: UUID, *, wall: datetime, until: datetime, held_until: datetime
) -> TaxCall | None:
    """Lease an open call and count a send; None when it has an end or another process holds it.

    A lease that runs beyond `held_until` was set by a wrong clock, and is over.
    """
    values = {"id": call_id, "wall": wall, "until": until, "held_until": held_until}
    row = conn.execute(_LEASE, values).one_or_none()
    return None if row is None else _call_of(row)


def any_open(conn: Connection) -> bool:
    """Tell whether any call has no end yet."""
    return bool(conn.execute(_ANY_OPEN).scalar_one())


def get(conn: Connection, call_id: UUID) -> TaxCall | None:
    """Return one call."""
    row = conn.execute(select(*_COLUMNS).where(tax_calls.c.id == call_id)).one_or_none()
    return None if row is None else _call_of(row)


def lock(conn: Connection, call_id: UUID) -> TaxCall:
    """Lock an existing call."""
    query = select(*_COLUMNS).where(tax_calls.c.id == call_id).with_for_update()
    return _call_of(conn.execute(query).one())


def end(conn: Connection, call_id: UUID, state: TaxCallState, now: datetime, **more: Any) -> None:
    """Write the end of a (locked) open call, and what came of it."""
    values = {"state": state, "ended_at": now, "next_attempt_at": None, "lease_until": None}
    conn.execute(update(tax_calls).where(tax_calls.c.id == call_id).values(**values, **more))


def still_open(
    conn: Connection,
    call: TaxCall,
    *,
    error_class: str,
    error_message: str,
    now: datetime,
    again_at: datetime,
) -> None:
    """Write that a send had no definite answer, and when (real time) the next one may follow."""
    conn.execute(
        update(tax_calls)
        .where(tax_calls.c.id == call.id)
        .values(
            error_class=error_class,
            error_message=error_message[:ERROR_MAX],
            unknown_since=call.unknown_since or now,
            lease_until=None,
            dispatch_after=again_at,
        )
    )


def reopen(conn: Connection, call_id: UUID, now: datetime) -> None:
    """Let a (locked) refused call be sent again."""
    values = {"state": TaxCallState.OPEN, "ended_at": None, "refusal": None}
    due = {"next_attempt_at": now, "dispatch_after": dispatch.NOT_HELD}
    conn.execute(update(tax_calls).where(tax_calls.c.id == call_id).values(**values, **due))


# --- records ------------------------------------------------------------------------------------


def of_invoice(conn: Connection, invoice_id: UUID) -> list[TaxCall]:
    """Return the calls about an invoice, in order."""
    query = select(*_COLUMNS).where(tax_calls.c.invoice_id == invoice_id)
    rows = conn.execute(query.order_by(tax_calls.c.asked_at, tax_calls.c.id))
    return [_call_of(row) for row in rows]


def waited_for(conn: Connection, subscription_id: UUID) -> TaxCall | None:
    """Return the open call that the next cycle of a subscription waits for."""
    query = select(*_COLUMNS).where(
        tax_calls.c.subscription_id == subscription_id,
        tax_calls.c.waits,
        tax_calls.c.state == TaxCallState.OPEN,
    )
    row = conn.execute(query.order_by(tax_calls.c.asked_at).limit(1)).one_or_none()
    return None if row is None else _call_of(row)


def record_of(conn: Connection, invoice_id: UUID) -> TaxCall | None:
    """Return the record of an invoice, if its taxes are a provider's."""
    query = select(*_COLUMNS).where(
        tax_calls.c.invoice_id == invoice_id, tax_calls.c.kind == TaxCallKind.RECORD
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _call_of(row)
