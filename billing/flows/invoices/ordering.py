"""One-off invoices: what somebody asks to be invoiced, collected as any other invoice is.

lock the customer's credit  ->  facts  ->  draft  ->  issue

All in the caller's transaction. Coupons take nothing off: they are redeemed for what plans sell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, ErrorCode
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.cycles import holding, taxing
from billing.flows.cycles.earning import earned_first_at
from billing.flows.cycles.opening import hold_catalog
from billing.flows.invoices.asking import (
    AskedInvoice,
    below,
    check_amount,
    check_currency,
    check_payer,
    issue,
    ordered_charge,
    other_than,
)
from billing.flows.payments.amounts import check_step
from billing.flows.policy import Policy
from billing.ids import derived_id
from billing.plans.currencies import charge_step
from billing.plans.taxes import USUAL_TAX, TaxTerms
from billing.pricing import Charge, Facts, InvoiceDraft, InvoiceKind, draft
from billing.rules.money import Money
from billing.rules.periods import Period, ScheduleError, is_portable, to_utc
from billing.store.payments import invoices
from billing.store.payments.invoices import Invoice
from billing.store.subscriptions.customers import Customer
from billing.tax import TaxDecision

LINES_MAX: Final = 100
TEXT_MAX: Final = 200
SERVICE_MAX: Final = timedelta(days=3 * 366)
_YEARS: Final = range(2000, 2101)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OrderedLine:
    """One line: what it is for, and its amount in minor units."""

    text: str
    amount: int


@dataclass(frozen=True, slots=True)
class ServiceDays:
    """The first and the last civil day of the service that is invoiced, in a time zone."""

    first: date
    last: date
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class InvoiceOrder:
    """What a customer, by id or external id, is invoiced for; without a `service`, at once.

    `tax` says how all its lines are taxed, where that isn't as usual.
    """

    customer: str
    currency: str
    lines: Sequence[OrderedLine]
    service: ServiceDays | None = None
    tax: TaxTerms = USUAL_TAX


@dataclass(frozen=True, slots=True)
class OrderedInvoice:
    """An invoice as it would be issued now, and for whom."""

    customer: Customer
    facts: Facts
    draft: InvoiceDraft
    decision: TaxDecision | None = None


def drafted(
    conn: Connection, order: InvoiceOrder, *, now: datetime, policy: Policy
) -> OrderedInvoice:
    """Return the invoice as it would be issued now; the customer's credit is locked.

    Raises: NotFound, BadInput, TaxUndecided.
    """
    _check_lines(order, policy)
    customer = existing_customer(conn, order.customer)
    credit = holding.credit_of(conn, customer.id, order.currency, now)
    facts = Facts(
        kind=InvoiceKind.ONE_OFF,
        currency=order.currency,
        zone="UTC" if order.service is None else order.service.zone,
        charges=_charges(order),
        credit=credit,
        step=charge_step(order.currency),
        minimum=policy.minimum_amounts.get(order.currency, 0),
        waives=policy.below_minimum == "waive" and bool(credit),
    )
    decision = None
    if policy.tax is not None:
        taxes = taxing.read(conn, [customer.id], policy.tax).of(customer.id, now)
        facts = taxes.taxed(facts, [order.tax] * len(facts.charges))
        decision = taxes.decision_of(facts)
    made = draft(facts)
    _check_due(made, facts, customer)
    return OrderedInvoice(customer, facts, made, decision)


def create(
    conn: Connection,
    order: InvoiceOrder,
    invoice_id: UUID,
    *,
    now: datetime,
    policy: Policy,
    again: bool = False,
) -> Invoice:
    """Issue what somebody asks to be invoiced; return the invoice.

    In the caller's transaction, which ends with it. A second call under the id returns the
    existing invoice; a recovery issues it `again`, as of the instant at which it was issued.
    Raises: NotFound, BadInput, Conflict, Unavailable.
    """
    refuse_anything_like_a_card(**{"line": " ".join(line.text for line in order.lines)})
    hold_catalog(conn, now, policy)
    known = invoices.find(conn, str(invoice_id))
    if known is not None:
        return _same(conn, known, order)
    made = drafted(conn, order, now=now, policy=policy)
    asked = AskedInvoice(
        invoice_id,
        payment_of(invoice_id, now),
        made.customer.id,
        made.facts,
        made.draft,
        earned_first_at(made.draft, made.facts.zone, now, policy.recognise),
        made.decision,
    )
    return issue(conn, asked, now, policy, again=again)


def payment_of(invoice_id: UUID, issued_at: datetime) -> UUID:
    """Return the id of the payment of an invoice that somebody asked for."""
    return derived_id("one_off_payment", invoice_id, 0, issued_at)


def _same(conn: Connection, known: Invoice, order: InvoiceOrder) -> Invoice:
    customer = existing_customer(conn, order.customer)
    charges = () if known.facts is None else Facts.from_document(known.facts).charges
    same = (known.kind, known.customer_id, known.currency, charges) == (
        InvoiceKind.ONE_OFF,
        customer.id,
        order.currency,
        _charges(order),
    )
    if not same:
        raise other_than(known)
    return known


# --- what is asked for --------------------------------------------------------------------------


def _check_lines(order: InvoiceOrder, policy: Policy) -> None:
    check_currency(order.currency)
    if not 1 <= len(order.lines) <= LINES_MAX:
        raise BadInput(f"an invoice has 1 to {LINES_MAX} lines", where="lines")
    for number, line in enumerate(order.lines, start=1):
        _check_line(line, f"line {number}", order.currency)
    total = Money(sum(line.amount for line in order.lines), order.currency)
    check_amount(total, policy, "lines")


def _check_line(line: OrderedLine, where: str, currency: str) -> None:
    if not line.text.strip() or len(line.text) > TEXT_MAX or not line.text.isprintable():
        raise BadInput(
            f"a line says what it is for, in 1 to {TEXT_MAX} characters of one line", where=where
        )
    if line.amount < 1:
        raise BadInput("the amount of a line is above zero", where=where)
    check_step(Money(line.amount, currency), where)


def _check_due(made: InvoiceDraft, facts: Facts, customer: Customer) -> None:
    """Refuse what couldn't be collected."""
    if 0 < made.due < facts.minimum:
        raise below(Money(made.due, made.currency), facts.minimum, "lines")
    if made.due:
        check_payer(customer)


def _period(days: ServiceDays) -> Period:
    """Return the instants of the service. Raises: BadInput."""
    if not is_portable(days.zone):
        raise _no_zone(days.zone)
    within = days.first.year in _YEARS and days.last.year in _YEARS
    if not within or not timedelta() <= days.last - days.first < SERVICE_MAX:
        raise BadInput(
            "a service ends on the day it begins or later, and lasts three years at most",
            where="service",
        )
    try:
        start, end = (
            to_utc(datetime.combine(day, time.min), days.zone)
            for day in (days.first, days.last + _DAY)
        )
    except (ScheduleError, ValueError) as error:
        raise _no_zone(days.zone) from error
    return Period(start, end)


def _no_zone(zone: str) -> BadInput:
    return BadInput(
        f"{zone!r} is no time zone that every machine knows",
        where="zone",
        code=ErrorCode.ZONE_UNKNOWN,
        zone=zone,
    )


def _charges(order: InvoiceOrder) -> tuple[Charge, ...]:
    days = order.service
    period = None if days is None else _period(days)
    dates = None if days is None else (days.first, days.last)
    return tuple(ordered_charge(line.text, line.amount, period, dates) for line in order.lines)
