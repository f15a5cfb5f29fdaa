"""Our side of the provider's list of charges: the window to read, and the payments in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.payments import State
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class ChargedPayment:
    """A payment that a listed charge may be of."""

    id: UUID
    state: State
    amount_captured: int
    amount: int
    currency: str
    provider_payment_id: str | None
    provider_charge_id: str | None
    confirmed_at: datetime | None
    cycle_id: UUID | None


@dataclass(frozen=True, slots=True)
class UnlistedCapture:
    """A capture that no listed charge confirmed."""

    id: UUID
    state: State
    amount_captured: int
    currency: str
    provider_payment_id: str | None
    captured_at: datetime
    cycle_id: UUID | None


_charged = reader(ChargedPayment)
_unlisted = reader(UnlistedCapture)

# The window begins at the send and not at the capture: an answer may be adopted a day after the
# charge was made. A capture whose absence is a known break no longer extends the window.
_OLDEST_UNCONFIRMED = text(
    """
    SELECT min(coalesce(a.first_sent_at, p.captured_at))
      FROM payments p
      LEFT JOIN provider_calls a
             ON a.subject_id = p.id AND a.kind = 'charge' AND a.outcome = 'succeeded'
     WHERE p.provider = :provider AND p.captured_at IS NOT NULL AND p.confirmed_at IS NULL
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
    """
)
_OLDEST_OPEN = text(
    """
    SELECT min(first_sent_at) FROM provider_calls
     WHERE provider = :provider AND kind = 'charge' AND finished_at IS NULL
    """
)
_FIRST_SENT = text(
    """
    SELECT min(first_sent_at) FROM provider_calls
     WHERE provider = :provider AND kind = 'charge'
    """
)


def oldest_unconfirmed(conn: Connection, provider: str) -> datetime | None:
    """Return when the oldest capture was sent that is neither confirmed nor in an open break."""
    return conn.execute(_OLDEST_UNCONFIRMED, {"provider": provider}).scalar()


def oldest_undecided(conn: Connection, provider: str) -> datetime | None:
    """Return when the oldest attempt was sent that has no outcome."""
    return conn.execute(_OLDEST_OPEN, {"provider": provider}).scalar()


def first_sent(conn: Connection, provider: str) -> datetime | None:
    """Return when the account's first attempt was sent; reads all its payments."""
    return conn.execute(_FIRST_SENT, {"provider": provider}).scalar()


_OURS = text(
    """
    SELECT p.id, p.state, p.amount_captured, p.amount, p.currency, p.provider_payment_id,
           p.provider_charge_id, p.confirmed_at, i.cycle_id
      FROM payments p
      LEFT JOIN invoices i ON i.id = p.invoice_id
     WHERE p.provider = :provider
       AND (p.provider_payment_id = ANY(CAST(:provider_ids AS text[]))
            OR p.id = ANY(CAST(:ids AS uuid[])))
    """
)


def payments_of(
    conn: Connection, provider: str, *, provider_ids: Sequence[str], ids: Sequence[UUID]
) -> list[ChargedPayment]:
    """Return the account's payments with one of its ids or of our own."""
    params = {"provider": provider, "provider_ids": list(provider_ids), "ids": list(ids)}
    return [_charged(row) for row in conn.execute(_OURS, params)]


_CONFIRM = text(
    """
    UPDATE payments AS p
       SET confirmed_at = :now, updated_at = :now,
           provider_charge_id = coalesce(p.provider_charge_id, x.charge)
      FROM unnest(CAST(:ids AS uuid[]), CAST(:charges AS text[])) AS x(id, charge)
     WHERE p.id = x.id AND p.confirmed_at IS NULL
    """
)


def confirm(conn: Connection, charges: Mapping[UUID, str], now: datetime) -> None:
    """Write down which charge confirms each payment; a confirmed payment stays as it is."""
    params = {"now": now, "ids": list(charges), "charges": list(charges.values())}
    conn.execute(_CONFIRM, params)


_MISSING = text(
    """
    SELECT p.id, p.state, p.amount_captured, p.currency, p.provider_payment_id, p.captured_at,
           i.cycle_id
      FROM payments p
      LEFT JOIN provider_calls a
             ON a.subject_id = p.id AND a.kind = 'charge' AND a.outcome = 'succeeded'
      LEFT JOIN invoices i ON i.id = p.invoice_id
     WHERE p.provider = :provider AND p.captured_at IS NOT NULL AND p.confirmed_at IS NULL
       AND coalesce(a.first_sent_at, p.captured_at) >= :since AND p.captured_at < :before
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
    """
)


def unlisted(
    conn: Connection, provider: str, *, since: datetime, before: datetime
) -> list[UnlistedCapture]:
    """Return captures of a span of time without a confirmation and without an open break."""
    params = {"provider": provider, "since": since, "before": before}
    return [_unlisted(row) for row in conn.execute(_MISSING, params)]
