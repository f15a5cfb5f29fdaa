"""Customers and their payment methods (tokens and what a card is recognised by, never a number)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.store.tables import customers, payment_methods


def add(conn: Connection, values: Mapping[str, Any]) -> bool:
    """Insert one customer; False when its external id is taken."""
    statement = insert(customers).values(**values)
    taken = statement.on_conflict_do_nothing(index_elements=["external_id"])
    return conn.execute(taken.returning(customers.c.id)).one_or_none() is not None


def find(conn: Connection, reference: str) -> Row[Any] | None:
    """Return the customer with this id or external id."""
    try:
        match = customers.c.id == UUID(reference)
    except ValueError:
        match = customers.c.external_id == reference
    return conn.execute(select(customers).where(match)).one_or_none()


def set_provider_customer(conn: Connection, customer_id: UUID, provider_customer_id: str) -> None:
    """Keep the provider's id of a customer."""
    conn.execute(
        update(customers)
        .where(customers.c.id == customer_id)
        .values(provider_customer_id=provider_customer_id)
    )


def page(conn: Connection, *, limit: int = 50, after: UUID | None = None) -> list[Row[Any]]:
    """Return up to `limit` customers in order of creation, after the id `after`."""
    query = select(customers).order_by(customers.c.id).limit(limit)
    if after is not None:
        query = query.where(customers.c.id > after)
    return list(conn.execute(query))


def add_payment_method(conn: Connection, values: Mapping[str, Any]) -> UUID:
    """Keep a payment method and make it its customer's default; return its id.

    A token kept before (a repeated command) is made the default again and not doubled.
    """
    statement = insert(payment_methods).values(**values)
    conn.execute(statement.on_conflict_do_nothing(index_elements=["provider_payment_method_id"]))
    kept = conn.execute(
        select(payment_methods.c.id).where(
            payment_methods.c.provider_payment_method_id == values["provider_payment_method_id"],
            payment_methods.c.customer_id == values["customer_id"],
        )
    ).scalar_one()
    conn.execute(
        update(customers)
        .where(customers.c.id == values["customer_id"])
        .values(default_payment_method_id=kept)
    )
    assert isinstance(kept, UUID)
    return kept


_HAS_NEWER = text(
    """
    SELECT u.default_payment_method_id <> a.payment_method_id
      FROM attempts a
      JOIN payments p ON p.id = a.payment_id
      JOIN customers u ON u.id = p.customer_id
     WHERE a.payment_id = :payment AND a.n = :n
    """
)


def has_newer_method(conn: Connection, payment_id: UUID, attempt_n: int) -> bool:
    """Tell whether the customer's default changed since an attempt was begun."""
    return bool(conn.execute(_HAS_NEWER, {"payment": payment_id, "n": attempt_n}).scalar())


def payment_methods_of(conn: Connection, customer_id: UUID) -> list[Row[Any]]:
    """Return a customer's payment methods, oldest first."""
    query = select(payment_methods).where(payment_methods.c.customer_id == customer_id)
    return list(conn.execute(query.order_by(payment_methods.c.id)))
