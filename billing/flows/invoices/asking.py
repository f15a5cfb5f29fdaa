"""What one-off invoices and invoices of credit have in common: checks, charges and the issue."""

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows import fence
from billing.flows.cycles import issuing
from billing.flows.cycles.issuing import InSeries, Issued
from billing.flows.payments.amounts import check_step
from billing.flows.policy import Policy
from billing.plans.currencies import CurrencyError, charge_limit, check_sold
from billing.plans.items import ItemPrice, PriceModel
from billing.pricing import ORDERED, Charge, Facts, InvoiceDraft
from billing.rules.money import Money
from billing.rules.periods import Period
from billing.store.payments import invoices
from billing.store.payments.invoices import Invoice
from billing.store.subscriptions.customers import Customer
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class AskedInvoice:
    """An invoice beside every subscription, with its ids, that nobody has issued yet."""

    invoice_id: UUID
    payment_id: UUID
    customer_id: UUID
    facts: Facts
    draft: InvoiceDraft
    recognise_at: datetime | None = None
    decision: TaxDecision | None = None


def issue(
    conn: Connection, asked: AskedInvoice, now: datetime, policy: Policy, *, again: bool = False
) -> Invoice:
    """Issue an invoice in the seller's series; return it. Raises: Unavailable.

    One that a recovery issues `again` is issued while its account is recovering.
    """
    if not again:
        fence.refuse_cycles_of(conn, asked.customer_id, None)
    issued = Issued(
        invoice_id=asked.invoice_id,
        payment_id=asked.payment_id,
        cycle_id=None,
        subscription_id=None,
        customer_id=asked.customer_id,
        number=InSeries(policy.number_prefix),
        facts=asked.facts,
        draft=asked.draft,
        recognise_at=asked.recognise_at,
        decision=asked.decision,
    )
    issuing.issue(conn, [issued], now)
    found = invoices.find(conn, str(asked.invoice_id))
    assert found is not None, "it was issued a moment ago"
    return found


def other_than(known: Invoice) -> Conflict:
    """Return the error of an id that another invoice has."""
    return Conflict(
        f"invoice {known.id} exists and is for something else",
        code=ErrorCode.INVOICE_ID_TAKEN,
        invoice=known.number,
    )


def ordered_charge(
    name: str,
    amount: int,
    period: Period | None = None,
    days: tuple[date, date] | None = None,
) -> Charge:
    """Return the charge of an amount that somebody asks for, and that no terms say."""
    return Charge(
        item=ORDERED,
        name=name,
        price=ItemPrice(PriceModel.FLAT, Fraction(amount)),
        quantity=Fraction(1),
        period=period,
        source=ORDERED,
        terms="",
        days=days,
    )


def check_currency(currency: str) -> None:
    """Check that something may be sold in a currency. Raises: BadInput."""
    try:
        check_sold(currency)
    except CurrencyError as error:
        raise BadInput(str(error), where="currency") from error


def check_amount(amount: Money, policy: Policy, where: str) -> None:
    """Check that the provider could charge an amount at once. Raises: BadInput."""
    currency = amount.currency
    least, most = policy.minimum_amounts.get(currency, 0), charge_limit(currency)
    if amount.amount < max(1, least):
        raise below(amount, max(1, least), where)
    if amount.amount > most:
        raise BadInput(
            f"{amount} is above the most that can be charged at once, {Money(most, currency)}",
            where=where,
            code=ErrorCode.AMOUNT_ABOVE_MAXIMUM,
            minor_units=most,
            maximum=Money(most, currency),
        )
    check_step(amount, where)


def check_payer(customer: Customer) -> None:
    """Check that a customer can be charged. Raises: BadInput."""
    if customer.default_payment_method_id is None:
        raise BadInput(
            f"customer {customer.id} has no payment method",
            where="customer",
            code=ErrorCode.PAYMENT_METHOD_MISSING,
            customer=customer.id,
        )


def below(amount: Money, least: int, where: str) -> BadInput:
    """Return the error of an amount that is below the least that can be charged."""
    minimum = Money(least, amount.currency)
    return BadInput(
        f"{amount} is below the least that can be charged, {minimum}",
        where=where,
        code=ErrorCode.AMOUNT_BELOW_MINIMUM,
        minor_units=least,
        minimum=minimum,
    )
