"""What is known of customers for taxes, by date, and what the register said of VAT ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from billing.store.rows import reader
from billing.store.tables import customer_tax_facts, vat_checks


@dataclass(frozen=True, slots=True)
class CustomerTaxFacts:
    """Where a customer is from an instant on, and what lets them pay no tax.

    `exempt` is the reason of an exemption. Of rows that hold from one instant, the last one counts.
    """

    customer_id: UUID
    n: int
    holds_from: datetime
    country: str | None
    region: str | None
    postal_code: str | None
    vat_id: str | None
    exempt: str | None
    asked_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class VatCheck:
    """What the register of VAT ids said at an instant; `reference` is its own of the look-up."""

    id: UUID
    vat_id: str
    confirmed: bool
    reference: str | None
    at: datetime


_facts_of = reader(CustomerTaxFacts)
_check_of = reader(VatCheck)


def of_many(
    conn: Connection, customers: Sequence[UUID]
) -> Mapping[UUID, Sequence[CustomerTaxFacts]]:
    """Return what is known of customers, in the order in which it holds."""
    query = (
        select(customer_tax_facts)
        .where(customer_tax_facts.c.customer_id.in_(customers))
        .order_by(
            customer_tax_facts.c.customer_id,
            customer_tax_facts.c.holds_from,
            customer_tax_facts.c.n,
        )
    )
    rows = [_facts_of(row) for row in conn.execute(query)]
    return {owner: list(of_one) for owner, of_one in groupby(rows, attrgetter("customer_id"))}


def of_customer(conn: Connection, customer_id: UUID) -> Sequence[CustomerTaxFacts]:
    """Return what is known of a customer, in the order in which it holds."""
    return of_many(conn, [customer_id]).get(customer_id, ())


def at_instant(rows: Sequence[CustomerTaxFacts], at: datetime) -> CustomerTaxFacts | None:
    """Return what holds at an instant, of a customer's rows in order."""
    held = [row for row in rows if row.holds_from <= at]
    return held[-1] if held else None


def add(conn: Connection, facts: CustomerTaxFacts) -> None:
    """Write what is known from now on; the customer is locked."""
    values = {each.name: getattr(facts, each.name) for each in fields(facts)}
    conn.execute(insert(customer_tax_facts).values(**values))


def checks_of(conn: Connection, vat_ids: Sequence[str]) -> Mapping[str, Sequence[VatCheck]]:
    """Return what the register said of VAT ids, in order."""
    if not vat_ids:
        return {}
    query = select(vat_checks).where(vat_checks.c.vat_id.in_(sorted(set(vat_ids))))
    rows = [_check_of(row) for row in conn.execute(query.order_by(vat_checks.c.vat_id, "at", "id"))]
    return {vat_id: list(of_one) for vat_id, of_one in groupby(rows, attrgetter("vat_id"))}


def add_check(conn: Connection, check: VatCheck) -> None:
    """Write what the register said."""
    values = {each.name: getattr(check, each.name) for each in fields(check)}
    conn.execute(insert(vat_checks).values(**values))


_LOCK: Final = text("SELECT id FROM customers WHERE id = :id FOR NO KEY UPDATE")


def lock_customer(conn: Connection, customer_id: UUID) -> None:
    """Lock a customer, so that what is known of them is written in one order."""
    conn.execute(_LOCK, {"id": customer_id})
