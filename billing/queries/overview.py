"""What operators look at: rows joined with the names that people know things by.

Read-only. Lists go in order of creation and are continued after an id; only the conditions that
were asked for are written out, so that each uses its index.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.ledger.keys import EntryKind

Noun = Literal[
    "subscription", "customer", "payment", "invoice", "break", "refund", "dispute", "exchange"
]

_SUBSCRIPTIONS: Final = """
SELECT s.id, s.external_id, s.customer_id, c.external_id AS customer_external_id,
       c.name AS customer_name, s.plan, s.plan_version, s.currency, s.quantity, s.status,
       s.anchor_local, s.zone, s.every, s.trial, s.anchor_day, s.next_n, s.renews_at,
       s.cancel_at_period_end, s.parked_at, s.parked_reason, s.parked_error, s.canceled_at,
       s.created_at
  FROM subscriptions s
  JOIN customers c ON c.id = s.customer_id
 WHERE {where}
 ORDER BY s.id LIMIT :limit
"""
_SUBSCRIPTION_CONDITIONS: Final = {
    "id": "s.id = :id",
    "status": "s.status = :status",
    "plan": "s.plan = :plan",
    "customer_id": "s.customer_id = :customer_id",
    "parked": "(s.parked_at IS NOT NULL) = :parked",
    "after": "s.id > :after",
}

_PAYMENTS: Final = """
SELECT p.id, p.invoice_id, i.number AS invoice_number, p.subscription_id,
       s.external_id AS subscription_external_id, p.customer_id,
       c.external_id AS customer_external_id, c.name AS customer_name, p.amount, p.currency,
       p.state, p.amount_captured, p.amount_refunded, p.attempt_n AS attempts, p.rung,
       p.next_attempt_at, p.next_attempt_kind, p.decline_code, p.decline_class, p.decision,
       p.description, p.capture_method, p.authorized_until,
       EXISTS (SELECT FROM attempts a WHERE a.payment_id = p.id AND a.finished_at IS NULL
                  AND a.unknown_since IS NOT NULL) AS unknown,
       p.parked_at, p.parked_reason, p.parked_error, p.provider_payment_id, p.provider_charge_id,
       p.captured_at, p.confirmed_at, p.created_at, p.updated_at
  FROM payments p
  JOIN customers c ON c.id = p.customer_id
  LEFT JOIN invoices i ON i.id = p.invoice_id
  LEFT JOIN subscriptions s ON s.id = p.subscription_id
 WHERE {where}
 ORDER BY p.id LIMIT :limit
"""
_PAYMENT_CONDITIONS: Final = {
    "id": "p.id = :id",
    "invoice_id": "p.invoice_id = :invoice_id",
    "state": "p.state = :state",
    "subscription_id": "p.subscription_id = :subscription_id",
    "customer_id": "p.customer_id = :customer_id",
    "parked": "(p.parked_at IS NOT NULL) = :parked",
    "unknown": (
        "EXISTS (SELECT FROM attempts a WHERE a.payment_id = p.id AND a.finished_at IS NULL"
        " AND a.unknown_since IS NOT NULL) = :unknown"
    ),
    "after": "p.id > :after",
}

_INVOICES: Final = """
SELECT i.id, i.number, i.subscription_id, s.external_id AS subscription_external_id,
       i.customer_id, c.external_id AS customer_external_id, c.name AS customer_name,
       y.n AS cycle_n, y.period_start, y.period_end, i.currency, i.net, i.tax, i.total,
       i.status, i.issued_at, i.resolved_at, p.id AS payment_id, p.state AS payment_state
  FROM invoices i
  JOIN cycles y ON y.id = i.cycle_id
  JOIN customers c ON c.id = i.customer_id
  JOIN subscriptions s ON s.id = i.subscription_id
  LEFT JOIN payments p ON p.invoice_id = i.id
 WHERE {where}
 ORDER BY i.id LIMIT :limit
"""
_INVOICE_CONDITIONS: Final = {
    "id": "i.id = :id",
    "status": "i.status = :status",
    "subscription_id": "i.subscription_id = :subscription_id",
    "customer_id": "i.customer_id = :customer_id",
    "after": "i.id > :after",
}

_CUSTOMERS: Final = """
SELECT c.id, c.external_id, c.name, c.email, c.provider_customer_id, m.brand AS card_brand,
       m.last4 AS card_last4, m.exp_month AS card_exp_month, m.exp_year AS card_exp_year,
       (SELECT count(*) FROM subscriptions s
         WHERE s.customer_id = c.id AND s.status <> 'canceled') AS live_subscriptions,
       c.created_at
  FROM customers c
  LEFT JOIN payment_methods m ON m.id = c.default_payment_method_id
 WHERE {where}
 ORDER BY c.id LIMIT :limit
"""
_CUSTOMER_CONDITIONS: Final = {"id": "c.id = :id", "after": "c.id > :after"}

_PARKED: Final = """
SELECT * FROM (
  SELECT 'subscription' AS kind, s.id, s.external_id, s.customer_id,
         c.external_id AS customer_external_id, s.parked_at, s.parked_reason AS reason,
         s.parked_error AS error
    FROM subscriptions s JOIN customers c ON c.id = s.customer_id
   WHERE s.parked_at IS NOT NULL
   UNION ALL
  SELECT 'payment', p.id, i.number, p.customer_id, c.external_id, p.parked_at,
         p.parked_reason, p.parked_error
    FROM payments p JOIN customers c ON c.id = p.customer_id
    LEFT JOIN invoices i ON i.id = p.invoice_id
   WHERE p.parked_at IS NOT NULL) x
 WHERE {where}
 ORDER BY x.id LIMIT :limit
"""
_PARKED_CONDITIONS: Final = {
    "id": "x.id = :id",
    "kind": "x.kind = :kind",
    "reason": "x.reason = :reason",
    "after": "x.id > :after",
}


def _page(
    conn: Connection, query: str, conditions: Mapping[str, str], limit: int, asked: dict[str, Any]
) -> list[Row[Any]]:
    given = {name: value for name, value in asked.items() if value is not None}
    where = " AND ".join(conditions[name] for name in given) or "true"
    return list(conn.execute(text(query.format(where=where)), {**given, "limit": limit}))


def subscriptions(conn: Connection, *, limit: int = 50, **asked: Any) -> list[Row[Any]]:
    """Return subscriptions by id, status, plan, customer_id, parked, after; None doesn't narrow."""
    return _page(conn, _SUBSCRIPTIONS, _SUBSCRIPTION_CONDITIONS, limit, asked)


def payments(conn: Connection, *, limit: int = 50, **asked: Any) -> list[Row[Any]]:
    """Return payments by id, invoice_id, state, subscription_id, customer_id, parked, unknown,
    after; None doesn't narrow.
    """
    return _page(conn, _PAYMENTS, _PAYMENT_CONDITIONS, limit, asked)


def invoices(conn: Connection, *, limit: int = 50, **asked: Any) -> list[Row[Any]]:
    """Return invoices by id, status, subscription_id, customer_id, after; None doesn't narrow."""
    return _page(conn, _INVOICES, _INVOICE_CONDITIONS, limit, asked)


def customers(conn: Connection, *, limit: int = 50, **asked: Any) -> list[Row[Any]]:
    """Return customers by id, after, with the card they are recognised by."""
    return _page(conn, _CUSTOMERS, _CUSTOMER_CONDITIONS, limit, asked)


def parked(conn: Connection, *, limit: int = 50, **asked: Any) -> list[Row[Any]]:
    """Return what waits for a person, subscriptions and payments, by id, kind, reason, after."""
    return _page(conn, _PARKED, _PARKED_CONDITIONS, limit, asked)


_CYCLES = text(
    """
    SELECT y.n, y.kind, y.period_start, y.period_end, y.plan_version, y.state, y.opened_at,
           y.closed_at, i.number AS invoice_number, i.total, i.currency,
           i.status AS invoice_status, p.id AS payment_id, p.state AS payment_state
      FROM cycles y
      LEFT JOIN invoices i ON i.cycle_id = y.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE y.subscription_id = :subscription
     ORDER BY y.n DESC LIMIT :limit
    """
)


def recent_cycles(conn: Connection, subscription_id: UUID, limit: int) -> list[Row[Any]]:
    """Return a subscription's last cycles with their invoice and payment, newest first."""
    return list(conn.execute(_CYCLES, {"subscription": subscription_id, "limit": limit}))


# --- finding by what a person types -------------------------------------------------------------

_BY_NAME: Final[Mapping[Noun, str]] = {
    "subscription": "SELECT id FROM subscriptions WHERE external_id = :name",
    "customer": "SELECT id FROM customers WHERE external_id = :name",
    "invoice": "SELECT id FROM invoices WHERE number = :name",
    "refund": "SELECT id FROM refunds WHERE provider_refund_id = :name",
    "dispute": "SELECT id FROM disputes WHERE provider_dispute_id = :name",
    "exchange": (
        f"SELECT id FROM fx_events WHERE source_key IN (:name, '{EntryKind.FX_EVENT.prefix}'"  # noqa: S608  a constant
        " || :name)"
    ),
}
_BY_ID: Final[Mapping[Noun, str]] = {
    "subscription": "SELECT id FROM subscriptions WHERE id BETWEEN :low AND :high",
    "customer": "SELECT id FROM customers WHERE id BETWEEN :low AND :high",
    "payment": "SELECT id FROM payments WHERE id BETWEEN :low AND :high",
    "invoice": "SELECT id FROM invoices WHERE id BETWEEN :low AND :high",
    "break": "SELECT id FROM breaks WHERE id BETWEEN :low AND :high",
    "refund": "SELECT id FROM refunds WHERE id BETWEEN :low AND :high",
    "dispute": "SELECT id FROM disputes WHERE id BETWEEN :low AND :high",
    "exchange": "SELECT id FROM fx_events WHERE id BETWEEN :low AND :high",
}
_FEW: Final = " ORDER BY id LIMIT 5"


def by_name(conn: Connection, noun: Noun, name: str) -> UUID | None:
    """Return the id behind an external id or an invoice number."""
    query = _BY_NAME.get(noun)
    if query is None:
        return None
    found: UUID | None = conn.execute(text(query), {"name": name}).scalar()
    return found


def by_id_prefix(conn: Connection, noun: Noun, digits: str) -> Sequence[UUID]:
    """Return up to five ids that begin with these hexadecimal digits (1 to 32, no hyphens)."""
    bounds = {"low": UUID(digits.ljust(32, "0")), "high": UUID(digits.ljust(32, "f"))}
    return list(conn.execute(text(_BY_ID[noun] + _FEW), bounds).scalars())


# --- the whole at a glance ----------------------------------------------------------------------

_DUE = text(
    """
    SELECT (SELECT count(*) FROM subscriptions
             WHERE parked_at IS NULL AND renews_at IS NOT NULL AND renews_at <= :at) AS renewals,
           (SELECT count(*) FROM payments
             WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL
               AND next_attempt_at <= :at) AS attempts
    """
)


def due(conn: Connection, at: datetime) -> tuple[int, int]:
    """Count the renewals and the attempts that are due by an instant and not done."""
    row = conn.execute(_DUE, {"at": at}).one()
    return int(row.renewals), int(row.attempts)


_BY_STATUS = text("SELECT status AS name, count(*) AS n FROM subscriptions GROUP BY status")
_BY_STATE = text("SELECT state AS name, count(*) AS n FROM payments GROUP BY state")


def subscriptions_by_status(conn: Connection) -> dict[str, int]:
    """Count subscriptions by status; a status nobody has isn't there."""
    return {row.name: int(row.n) for row in conn.execute(_BY_STATUS)}


def payments_by_state(conn: Connection) -> dict[str, int]:
    """Count payments by state; a state none is in isn't there."""
    return {row.name: int(row.n) for row in conn.execute(_BY_STATE)}


# --- for the explanation -----------------------------------------------------------------------

_OPEN_BREAKS = text(
    "SELECT id, kind, suggested_cause FROM breaks"
    " WHERE cycle_id = :cycle AND resolved_at IS NULL ORDER BY id"
)


def open_breaks_of_cycle(conn: Connection, cycle_id: UUID) -> list[Row[Any]]:
    """Return the unresolved differences that hold a cycle open."""
    return list(conn.execute(_OPEN_BREAKS, {"cycle": cycle_id}))
