"""Closing usage, inside the caller's transaction: what an invoice bills is billed for good."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.numbers import exact_text
from billing.pricing import Facts, UsageClosing
from billing.store.usage import closings
from billing.store.usage.closings import NewClosing


def write_billed(
    conn: Connection, invoices: Iterable[tuple[UUID | None, UUID, Facts]], now: datetime
) -> None:
    """Write the closings that invoices name: each is a subscription, an invoice and its facts."""
    rows = [
        _row(subscription_id, closing, invoice_id, now)
        for subscription_id, invoice_id, facts in invoices
        if subscription_id is not None
        for charge in facts.charges
        for closing in charge.closings
    ]
    closings.add(conn, rows)


def write_unbilled(
    conn: Connection, counted: Iterable[tuple[UUID, Sequence[UsageClosing]]], now: datetime
) -> None:
    """Write the closings of usage that nothing is charged for, by subscription."""
    rows = [_row(owner, closing, None, now) for owner, unbilled in counted for closing in unbilled]
    closings.add(conn, rows)


def write_given_back(
    conn: Connection,
    subscription_id: UUID,
    given_back: Sequence[UsageClosing],
    invoice_id: UUID | None,
    now: datetime,
) -> None:
    """Write the closings of usage that got cheaper, of which an invoice gives a part back.

    None: nothing of what billed it was paid.
    """
    closings.add(conn, [_row(subscription_id, each, invoice_id, now) for each in given_back])


def _row(
    subscription_id: UUID, closing: UsageClosing, invoice_id: UUID | None, now: datetime
) -> NewClosing:
    return {
        "subscription_id": subscription_id,
        "meter": closing.meter,
        "n": closing.n,
        "segment": closing.segment,
        "revision": closing.revision,
        "quantity": exact_text(closing.quantity),
        "events": closing.events,
        "id_sum": closing.id_sum,
        "invoice_id": invoice_id,
        "at": now,
    }
