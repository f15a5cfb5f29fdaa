"""What an account holds of this engine that this database doesn't know, and what becomes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.flows import made_objects
from billing.flows.context import Context
from billing.flows.payments.charge_requests import period_start
from billing.gateway import ProviderCharge, ProviderCustomer, ProviderDispute, ProviderRefund
from billing.rules.invoice_marks import ChangeMark, OrderMark, TopUpMark, read_invoice_mark
from billing.rules.money import Money
from billing.rules.reconciliation.knowledge import MadeKind
from billing.rules.request_marks import CALLER, REQUEST
from billing.rules.subscriptions import Status
from billing.store.identity import engine_id
from billing.store.payments import disputes, payments
from billing.store.subscriptions import subscriptions


class RecoveredKind(StrEnum):
    """What is adopted."""

    CUSTOMER = "customer"
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


class RecoveryPlan(StrEnum):
    """What will become of an object, as far as it can be told before."""

    ADOPT = "adopt"
    PASS_OVER = "pass_over"  # noqa: S105  no password
    """It can't be placed: what it belongs to isn't here, so nothing charges for it again either."""
    HOLD = "hold"
    """It can't be placed before its subscription goes on, which might charge for it again."""


class AdoptionResult(StrEnum):
    """What became of an object."""

    ADOPTED = "adopted"
    OPEN = "open"
    """Its outcome isn't definite: it is asked for again, and never sent anew."""
    PARKED = "parked"
    """What the provider did isn't what is asked for here; it is parked, with a break."""
    PASSED_OVER = "passed_over"
    HELD = "held"
    """It can't be adopted, and might be charged again: the fence stays closed."""


class Why(StrEnum):
    """Why an object is passed over, or holds the fence closed."""

    SUBSCRIPTION_UNKNOWN = "subscription_unknown"
    CUSTOMER_UNKNOWN = "customer_unknown"
    PAYMENT_UNKNOWN = "payment_unknown"
    NO_CYCLE = "no_cycle"
    CANNOT_OPEN = "cannot_open"
    CANNOT_CHANGE = "cannot_change"
    OTHER_CHANGE = "other_change"
    OTHER_NUMBER = "other_number"
    WITHOUT_INVOICE = "without_invoice"
    """Its charge names an invoice whose lines aren't known: it is a charge without one here."""
    WITHOUT_NOTE = "without_note"
    """A credit note asked for it that isn't here: it is a refund without one."""
    UNPAID = "unpaid"
    OTHER_PERIODS = "other_periods"
    NOT_COLLECTED = "not_collected"
    NO_PAYMENT_METHOD = "no_payment_method"
    NOT_FOUND_AGAIN = "not_found_again"


Done = tuple[AdoptionResult, Why | None]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A payment's charges that are unknown here, oldest first; `ours` is the payment's id."""

    ours: UUID
    charges: Sequence[ProviderCharge]

    @property
    def newest(self) -> ProviderCharge:
        """The charge that tells most."""
        return self.charges[-1]

    @property
    def subscription_id(self) -> UUID | None:
        """The subscription that the charges name; a charge of its own names none."""
        return _uuid(self.newest.metadata.get("subscription"))

    @property
    def period_start(self) -> datetime | None:
        """When the period begins that was charged; None for a charge of its own."""
        return period_start(self.newest.metadata)

    @property
    def mark(self) -> Mapping[str, str]:
        """What the charge says of its invoice and request, which may be others here."""
        said = self.newest.metadata
        return {name: said[name] for name in (REQUEST, CALLER, "invoice") if name in said}

    @property
    def issued_at(self) -> datetime:
        """When its invoice was issued: at the latest when it was charged first."""
        mark = read_invoice_mark(self.newest.metadata)
        return self.charges[0].created if mark is None else mark.issued_at

    @property
    def change(self) -> ChangeMark | None:
        """The change of the subscription that was charged; None for any other charge."""
        mark = read_invoice_mark(self.newest.metadata)
        return None if mark is None else mark.change

    @property
    def top_up(self) -> TopUpMark | None:
        """The credit that was bought; None for any other charge."""
        mark = read_invoice_mark(self.newest.metadata)
        return None if mark is None else mark.top_up

    @property
    def order(self) -> OrderMark | None:
        """The lines that somebody asked to be invoiced; None for any other charge."""
        mark = read_invoice_mark(self.newest.metadata)
        return None if mark is None else mark.order

    @property
    def invoice_number(self) -> str | None:
        """The number of the invoice that was charged; None for a charge without one."""
        return self.newest.metadata.get("invoice")

    @property
    def last_attempt(self) -> int:
        """The attempt that made the provider's payment."""
        named = self.newest.metadata.get("attempt", "")
        return int(named) if named.isascii() and named.isdigit() else 1


@dataclass(frozen=True, slots=True)
class RecoveryItem:
    """One object in the preview of a recovery."""

    kind: RecoveredKind
    theirs: str
    ours: UUID | None
    created: datetime
    amount: Money | None
    customer: str | None
    subscription: UUID | None
    plan: RecoveryPlan
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class UnknownObjects:
    """All that is unknown here, in the order in which it is adopted."""

    since: datetime
    customers: Sequence[ProviderCustomer]
    payments: Sequence[Forgotten]
    refunds: Sequence[ProviderRefund]
    disputes: Sequence[ProviderDispute]


def find(context: Context, since: datetime) -> UnknownObjects:
    """Read what the context's account holds since then and this database doesn't know.

    Raises `Unavailable`, `BadInput`.
    """
    gateway = context.gateway
    with context.engine.connect() as conn:
        engine = engine_id(conn)
    customers = _unknown(context, engine, MadeKind.CUSTOMER, gateway.list_customers(since=since))
    charges = _unknown(context, engine, MadeKind.CHARGE, gateway.list_charges(since=since))
    refunds = _unknown(context, engine, MadeKind.REFUND, gateway.list_refunds(since=since))
    found = list[ProviderDispute]()
    for page in gateway.list_disputes(since=since):
        with context.engine.connect() as conn:
            known = disputes.known_ids(conn, context.account, [each.id for each in page])
        found += [each for each in page if each.id not in known]
    return UnknownObjects(since, customers, _by_payment(charges), refunds, found[::-1])


Listed = TypeVar("Listed", ProviderCustomer, ProviderCharge, ProviderRefund)


def _unknown(
    context: Context, engine: UUID, kind: MadeKind, pages: Iterable[Sequence[Listed]]
) -> list[Listed]:
    """Return the objects of a list that are unknown here, oldest first."""
    found: list[Listed] = []
    for page in pages:
        made = made_objects.made_of(engine, kind, page)
        with context.engine.connect() as conn:
            unknown = {each.theirs for each in made_objects.unknown_of(conn, context.account, made)}
        found += [each for each in page if each.id in unknown]
    return found[::-1]


def _by_payment(charges: Iterable[ProviderCharge]) -> list[Forgotten]:
    found: dict[UUID, list[ProviderCharge]] = {}
    for charge in charges:
        ours = _uuid(charge.metadata.get(MadeKind.CHARGE))
        assert ours is not None, "it was read before"
        found.setdefault(ours, []).append(charge)
    return as_issued(Forgotten(ours, each) for ours, each in found.items())


def as_issued(payments: Iterable[Forgotten]) -> list[Forgotten]:
    """Return payments in the order in which their invoices were issued, and so numbered.

    Those that were issued together are charged in any order: their numbers tell.
    """

    def place(each: Forgotten) -> tuple[datetime, int, str]:
        number = each.invoice_number or ""
        digits = number[len(number.rstrip("0123456789")) :]
        return each.issued_at, int(digits or 0), number

    return sorted(payments, key=place)


# --- the preview --------------------------------------------------------------------------------


def preview(conn: Connection, account: str, unknown: UnknownObjects) -> list[RecoveryItem]:
    """Return what a recovery will do with each object. Changes nothing."""
    return [
        *(_customer(each) for each in unknown.customers),
        *(_payment(conn, each) for each in unknown.payments),
        *(_refund(conn, account, unknown, each) for each in unknown.refunds),
        *(
            item
            for each in unknown.disputes
            if (item := _dispute(conn, account, unknown, each)) is not None
        ),
    ]


def _customer(found: ProviderCustomer) -> RecoveryItem:
    ours = _uuid(found.metadata.get(MadeKind.CUSTOMER))
    assert found.created is not None, "a list shows no deleted customers"
    return RecoveryItem(
        RecoveredKind.CUSTOMER,
        found.id,
        ours,
        found.created,
        None,
        found.name,
        None,
        RecoveryPlan.ADOPT,
    )


def _payment(conn: Connection, found: Forgotten) -> RecoveryItem:
    why = None
    owner = found.subscription_id
    if payments.get(conn, found.ours) is None and owner is not None:
        here = subscriptions.find(conn, str(owner))
        if here is None:
            why = Why.SUBSCRIPTION_UNKNOWN
        elif found.change is not None:
            why = Why.NO_CYCLE if here.status is Status.CANCELED else None
        elif here.renews_at is None:
            why = Why.UNPAID if here.status is Status.UNPAID else Why.NO_CYCLE
    charge = found.newest
    return RecoveryItem(
        RecoveredKind.PAYMENT,
        charge.id,
        found.ours,
        charge.created,
        charge.amount,
        None,
        owner,
        _plan(why),
        why,
    )


def _plan(why: Why | None) -> RecoveryPlan:
    if why is None:
        return RecoveryPlan.ADOPT
    return RecoveryPlan.HOLD if why is Why.UNPAID else RecoveryPlan.PASS_OVER


def _refund(
    conn: Connection, account: str, unknown: UnknownObjects, found: ProviderRefund
) -> RecoveryItem:
    here = _payment_is_here(
        conn, account, unknown, found.provider_payment_id, found.provider_charge_id
    )
    return RecoveryItem(
        RecoveredKind.REFUND,
        found.id,
        _uuid(found.metadata.get(MadeKind.REFUND)),
        found.created,
        found.amount,
        None,
        None,
        RecoveryPlan.ADOPT if here else RecoveryPlan.PASS_OVER,
        None if here else Why.PAYMENT_UNKNOWN,
    )


def _dispute(
    conn: Connection, account: str, unknown: UnknownObjects, found: ProviderDispute
) -> RecoveryItem | None:
    """Return what becomes of a dispute; None for one of a charge that isn't this engine's."""
    if not _payment_is_here(
        conn, account, unknown, found.provider_payment_id, found.provider_charge_id
    ):
        return None
    return RecoveryItem(
        RecoveredKind.DISPUTE,
        found.id,
        None,
        found.created,
        found.amount,
        None,
        None,
        RecoveryPlan.ADOPT,
    )


def _payment_is_here(
    conn: Connection, account: str, unknown: UnknownObjects, payment: str | None, charge: str | None
) -> bool:
    known = disputes.payment_of(
        conn, account, provider_payment_id=payment, provider_charge_id=charge
    )
    if known is not None:
        return True
    adopted = {
        named
        for each in unknown.payments
        for one in each.charges
        for named in (one.id, one.provider_payment_id)
    }
    return payment in adopted or charge in adopted


def _uuid(named: str | None) -> UUID | None:
    try:
        return UUID(named or "")
    except ValueError:
        return None
