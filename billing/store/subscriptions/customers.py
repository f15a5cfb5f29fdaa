"""Customers, the accounts that they are at, and their payment methods.

Of a payment method the token is kept, and what one is recognised by, never a number. A customer is
charged at the account `provider`, or at the one that a subscription names, and there with the
payment method of that account.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.rules.payment_methods import PaymentMethodKind
from billing.store.rows import reader
from billing.store.tables import customers, payment_methods, provider_customers


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer as stored, with what they have at the account that collects from them."""

    id: UUID
    external_id: str | None
    name: str
    email: str | None
    created_at: datetime
    engine_id: UUID | None
    provider: str
    provider_customer_id: str | None
    default_payment_method_id: UUID | None


@dataclass(frozen=True, slots=True)
class CustomerAccount:
    """A customer at one account; without a `provider_customer_id` they are yet to be made there.

    `payment_method_id` is what they are charged with over this account.
    """

    id: UUID
    customer_id: UUID
    provider: str
    provider_customer_id: str | None
    payment_method_id: UUID | None
    created_at: datetime

    def method_call(self, token: str) -> UUID:
        """Return the subject of the call that attaches this token at the account."""
        return uuid5(self.id, token)


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
    """A payment method with whose it is at the provider, and whether its account charges it."""

    provider_customer_id: str | None
    is_default: bool


class PaymentMethodChange(TypedDict, total=False):
    """The columns of a payment method that change: what its customer recognises it by."""

    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


_customer = reader(Customer)
_account = reader(CustomerAccount)
_payment_method = reader(PaymentMethod)
_known_payment_method = reader(KnownPaymentMethod)


WITH_ACCOUNT: Final = select(
    customers,
    provider_customers.c.provider_customer_id,
    provider_customers.c.payment_method_id.label("default_payment_method_id"),
).join(
    provider_customers,
    (provider_customers.c.customer_id == customers.c.id)
    & (provider_customers.c.provider == customers.c.provider),
)
"""Customers, each with what they have at the account that collects from them."""

_ADD_AT_ACCOUNT: Final = text(
    """
    INSERT INTO provider_customers (id, customer_id, provider, created_at)
    VALUES (:customer, :customer, :provider, :at)
    """
)


def add(conn: Connection, values: Mapping[str, Any]) -> Customer | None:
    """Insert one customer, at an account, and return it; None when its external id is taken."""
    statement = insert(customers).values(**values)
    taken = statement.on_conflict_do_nothing(index_elements=["external_id"])
    row = conn.execute(taken.returning(customers)).one_or_none()
    if row is None:
        return None
    at = {"customer": row.id, "provider": row.provider, "at": row.created_at}
    conn.execute(_ADD_AT_ACCOUNT, at)
    return Customer(**row._mapping, provider_customer_id=None, default_payment_method_id=None)


def find(conn: Connection, reference: str) -> Customer | None:
    """Return the customer with this id, or else with this external id, which may be a UUID too."""
    query = WITH_ACCOUNT
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


# --- at accounts --------------------------------------------------------------------------------


def _at(customer_id: UUID, provider: str) -> ColumnElement[bool]:
    return (provider_customers.c.customer_id == customer_id) & (
        provider_customers.c.provider == provider
    )


def account(conn: Connection, customer_id: UUID, provider: str) -> CustomerAccount | None:
    """Return a customer at this account; None where they aren't at it."""
    row = conn.execute(select(provider_customers).where(_at(customer_id, provider))).one_or_none()
    return None if row is None else _account(row)


def accounts_of(conn: Connection, customer_id: UUID) -> list[CustomerAccount]:
    """Return the accounts that a customer is at, in the order in which they came to them."""
    query = select(provider_customers).where(provider_customers.c.customer_id == customer_id)
    order = provider_customers.c.created_at, provider_customers.c.provider
    return [_account(row) for row in conn.execute(query.order_by(*order))]


def add_account(
    conn: Connection, customer_id: UUID, provider: str, now: datetime
) -> CustomerAccount:
    """Write that a customer is, or is to be, at one more account, if that isn't written yet.

    The id follows from customer and account, so that the call that makes them there does, too.
    """
    found = account(conn, customer_id, provider)
    if found is None:
        added = insert(provider_customers).values(
            id=uuid5(customer_id, provider),
            customer_id=customer_id,
            provider=provider,
            created_at=now,
        )
        conn.execute(added.on_conflict_do_nothing(index_elements=["customer_id", "provider"]))
        found = account(conn, customer_id, provider)
    assert found is not None, "it was added, or was there before"
    return found


def set_provider_customer(
    conn: Connection, customer_id: UUID, provider: str, provider_customer_id: str
) -> None:
    """Keep the provider's id of a customer at an account."""
    conn.execute(
        update(provider_customers)
        .where(_at(customer_id, provider))
        .values(provider_customer_id=provider_customer_id)
    )


def set_account(conn: Connection, customer_id: UUID, provider: str) -> None:
    """Collect from a customer over this account from now on, where no subscription names one."""
    conn.execute(update(customers).where(customers.c.id == customer_id).values(provider=provider))


def page(conn: Connection, *, limit: int = 50, after: UUID | None = None) -> list[Customer]:
    """Return up to `limit` customers in order of creation, after the id `after`."""
    query = WITH_ACCOUNT.order_by(customers.c.id).limit(limit)
    if after is not None:
        query = query.where(customers.c.id > after)
    return [_customer(row) for row in conn.execute(query)]


def add_payment_method(
    conn: Connection, values: Mapping[str, Any], *, make_default: bool = True
) -> UUID:
    """Keep a payment method and charge it at its account from now on; return its id.

    A token kept before (a repeated command, a customer who gives the same card once more) is
    charged again and not doubled: what it was declined for before counts no more.
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
            payment_methods.c.provider == values["provider"],
            payment_methods.c.provider_payment_method_id == values["provider_payment_method_id"],
            payment_methods.c.customer_id == values["customer_id"],
        )
    ).scalar_one()
    assert isinstance(kept, UUID)
    if make_default:
        set_default(conn, values["customer_id"], values["provider"], kept)
    return kept


def set_default(
    conn: Connection, customer_id: UUID, provider: str, payment_method_id: UUID | None
) -> None:
    """Charge a customer over this account with this payment method from now on, or with none."""
    conn.execute(
        update(provider_customers)
        .where(_at(customer_id, provider))
        .values(payment_method_id=payment_method_id)
    )


def lock_by_provider_id(
    conn: Connection, provider: str, provider_customer_id: str
) -> CustomerAccount | None:
    """Lock the customer with this id at the account."""
    query = select(provider_customers).where(
        provider_customers.c.provider == provider,
        provider_customers.c.provider_customer_id == provider_customer_id,
    )
    row = conn.execute(query.with_for_update(key_share=True)).one_or_none()
    return None if row is None else _account(row)


def is_ours(conn: Connection, provider: str, provider_customer_id: str) -> bool:
    """Tell whether the provider's customer is one of ours."""
    query = select(provider_customers.c.id).where(
        provider_customers.c.provider == provider,
        provider_customers.c.provider_customer_id == provider_customer_id,
    )
    return conn.execute(query).one_or_none() is not None


def payment_method_by_token(
    conn: Connection, provider: str, token: str
) -> KnownPaymentMethod | None:
    """Return a payment method by the provider's id, with whether its account charges it."""
    query = (
        select(
            payment_methods,
            provider_customers.c.provider_customer_id,
            (provider_customers.c.payment_method_id == payment_methods.c.id)
            .is_(True)
            .label("is_default"),
        )
        .join(
            provider_customers,
            (provider_customers.c.customer_id == payment_methods.c.customer_id)
            & (provider_customers.c.provider == payment_methods.c.provider),
        )
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
    SELECT t.payment_method_id <> a.payment_method_id
      FROM attempts a
      JOIN payments p ON p.id = a.payment_id
      JOIN customers u ON u.id = p.customer_id
      LEFT JOIN subscriptions s ON s.id = p.subscription_id
      JOIN provider_customers t
        ON t.customer_id = p.customer_id AND t.provider = coalesce(s.provider, u.provider)
     WHERE a.payment_id = :payment AND a.n = :n
    """
)


def has_newer_method(conn: Connection, payment_id: UUID, attempt_n: int) -> bool:
    """Tell whether another payment method is due since an attempt was begun."""
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
