"""Customers and their payment methods: tokens and what one is recognised by, never a number."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.rules.payment_methods import PaymentMethodKind
from billing.store.rows import reader
from billing.store.tables import customers, payment_methods


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer as stored."""

    id: UUID
    external_id: str | None
    name: str
    email: str | None
    provider_customer_id: str | None
    default_payment_method_id: UUID | None
    created_at: datetime
    engine_id: UUID | None
    provider: str


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One payment method as stored: its token, and what its customer recognises it by.

    A card has all of that, a wallet or a bank account what the provider tells.
    """

    id: UUID
    customer_id: UUID
    provider_payment_method_id: str
    kind: PaymentMethodKind
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    created_at: datetime
    provider: str


@dataclass(frozen=True, slots=True)
class KnownPaymentMethod(PaymentMethod):
    """A payment method with whose it is at the provider, and whether it is the one to charge."""

    provider_customer_id: str | None
    is_default: bool


class PaymentMethodChange(TypedDict, total=False):
    """The columns of a payment method that change: what its customer recognises it by."""

    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


_customer = reader(Customer)
_payment_method = reader(PaymentMethod)
_known_payment_method = reader(KnownPaymentMethod)


def add(conn: Connection, values: Mapping[str, Any]) -> Customer | None:
    """Insert one customer and return it; None when its external id is taken."""
    statement = insert(customers).values(**values)
    taken = statement.on_conflict_do_nothing(index_elements=["external_id"])
    row = conn.execute(taken.returning(customers)).one_or_none()
    return None if row is None else _customer(row)


def find(conn: Connection, reference: str) -> Customer | None:
    """Return the customer with this id, or else with this external id, which may be a UUID too."""
    query = select(customers)
    with suppress(ValueError):
        row = conn.execute(query.where(customers.c.id == UUID(reference))).one_or_none()
        if row is not None:
            return _customer(row)
    row = conn.execute(query.where(customers.c.external_id == reference)).one_or_none()
    return None if row is None else _customer(row)


def lock(conn: Connection, customer_id: UUID) -> None:
    """Lock a customer's row until the transaction ends."""
    query = (
        select(customers.c.id).where(customers.c.id == customer_id).with_for_update(key_share=True)
    )
    conn.execute(query).one()


def set_provider_customer(conn: Connection, customer_id: UUID, provider_customer_id: str) -> None:
    """Keep the provider's id of a customer."""
    conn.execute(
        update(customers)
        .where(customers.c.id == customer_id)
        .values(provider_customer_id=provider_customer_id)
    )


def page(conn: Connection, *, limit: int = 50, after: UUID | None = None) -> list[Customer]:
    """Return up to `limit` customers in order of creation, after the id `after`."""
    query = select(customers).order_by(customers.c.id).limit(limit)
    if after is not None:
        query = query.where(customers.c.id > after)
    return [_customer(row) for row in conn.execute(query)]


def add_payment_method(
    conn: Connection, values: Mapping[str, Any], *, make_default: bool = True
) -> UUID:
    """Keep a payment method and make it its customer's default; return its id.

    A token kept before (a repeated command, a customer who gives the same card once more) is made
    the default again and not doubled: what it was declined for before counts no more.
    """
    statement = insert(payment_methods).values(**values)
    once = ["provider", "provider_payment_method_id"]
    again = {"changed_at": statement.excluded.created_at} if make_default else None
    conn.execute(
        statement.on_conflict_do_nothing(index_elements=once)
        if again is None
        else statement.on_conflict_do_update(index_elements=once, set_=again)
    )
    kept = conn.execute(
        select(payment_methods.c.id).where(
            payment_methods.c.provider_payment_method_id == values["provider_payment_method_id"],
            payment_methods.c.customer_id == values["customer_id"],
        )
    ).scalar_one()
    assert isinstance(kept, UUID)
    if make_default:
        set_default(conn, values["customer_id"], kept)
    return kept


def set_default(conn: Connection, customer_id: UUID, payment_method_id: UUID | None) -> None:
    """Charge a customer with this payment method from now on, or with none."""
    conn.execute(
        update(customers)
        .where(customers.c.id == customer_id)
        .values(default_payment_method_id=payment_method_id)
    )


def lock_by_provider_id(
    conn: Connection, provider: str, provider_customer_id: str
) -> Customer | None:
    """Lock the customer with this id at the provider."""
    query = select(customers).where(
        customers.c.provider == provider, customers.c.provider_customer_id == provider_customer_id
    )
    row = conn.execute(query.with_for_update(key_share=True)).one_or_none()
    return None if row is None else _customer(row)


def is_ours(conn: Connection, provider: str, provider_customer_id: str) -> bool:
    """Tell whether the provider's customer is one of ours."""
    query = select(customers.c.id).where(
        customers.c.provider == provider, customers.c.provider_customer_id == provider_customer_id
    )
    return conn.execute(query).one_or_none() is not None


def payment_method_by_token(
    conn: Connection, provider: str, token: str
) -> KnownPaymentMethod | None:
    """Return a payment method by the provider's id, with whether it is its customer's default."""
    query = (
        select(
            payment_methods,
            customers.c.provider_customer_id,
            (customers.c.default_payment_method_id == payment_methods.c.id)
            .is_(True)
            .label("is_default"),
        )
        .join(customers, customers.c.id == payment_methods.c.customer_id)
        .where(
            payment_methods.c.provider == provider,
            payment_methods.c.provider_payment_method_id == token,
        )
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _known_payment_method(row)


def change_payment_method(
    conn: Connection, payment_method_id: UUID, now: datetime, **values: Unpack[PaymentMethodChange]
) -> None:
    """Write what a customer recognises a payment method by, as of `now`."""
    of_it = payment_methods.c.id == payment_method_id
    conn.execute(update(payment_methods).where(of_it).values(**values, changed_at=now))


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


def payment_methods_of(conn: Connection, customer_id: UUID) -> list[PaymentMethod]:
    """Return a customer's payment methods, oldest first."""
    query = select(payment_methods).where(payment_methods.c.customer_id == customer_id)
    return [_payment_method(row) for row in conn.execute(query.order_by(payment_methods.c.id))]


def find_payment_methods(
    conn: Connection, reference: str, customer_id: UUID | None = None
) -> list[PaymentMethod]:
    """Return the payment methods with this id or provider token, of one customer if given.

    A token is unique at one account of a provider.
    """
    try:
        match = payment_methods.c.id == UUID(reference)
    except ValueError:
        match = payment_methods.c.provider_payment_method_id == reference
    found = select(payment_methods).where(match)
    if customer_id is not None:
        found = found.where(payment_methods.c.customer_id == customer_id)
    return [_payment_method(row) for row in conn.execute(found.order_by(payment_methods.c.id))]
