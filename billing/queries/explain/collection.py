"""How an invoice was collected: its lines, the attempts, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.pricing import RowKind
from billing.queries.explain.billed import Billed
from billing.queries.explain.renewal import ParkedFacts
from billing.rules.credit import CreditSource
from billing.rules.dunning import DeclineClass
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import AttemptKind, AttemptOutcome, CallKind, State
from billing.store.payments import (
    attempts,
    credit,
    invoices,
    provider_calls,
    tax_calls,
    tax_decisions,
)
from billing.store.payments.attempts import Attempt
from billing.store.payments.invoices import InvoiceLine
from billing.store.payments.payments import Payment
from billing.store.subscriptions import customers
from billing.store.usage import closings


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Units that were charged at one price, exact and in minor units."""

    kind: RowKind
    quantity: Fraction
    unit_price: Fraction
    flat: int


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One line of an invoice."""

    n: int
    description: str
    quantity: Fraction
    unit_amount: Money | None
    unit_price: str | None
    rows: tuple[RowFacts, ...]
    gross: Money
    discount: Money
    amount: Money
    tax: Money


@dataclass(frozen=True, slots=True)
class UsageBilled:
    """Which usage an invoice bills: all that was counted by then, of which a revision the rest."""

    meter: str
    n: int
    segment: int
    revision: int
    quantity: Fraction
    events: int


@dataclass(frozen=True, slots=True)
class CouponUsed:
    """What a coupon took off an invoice, and of what."""

    coupon: str
    base: Money
    amount: Money


@dataclass(frozen=True, slots=True)
class TaxFacts:
    """One tax of an invoice: where, how and why; `rate` is in percent."""

    name: str
    jurisdiction: str
    treatment: str
    rate: str
    included: bool
    reason: str
    base: Money
    amount: Money


@dataclass(frozen=True, slots=True)
class TaxCallFacts:
    """What a provider was asked for the taxes of an invoice, or is told of it, and how far that is.

    `provider_ref` is what the provider calls it, `why` what it said against it.
    """

    kind: str
    state: str
    provider: str
    provider_ref: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class CreditUsed:
    """What one grant of credit pays of an invoice."""

    grant_id: UUID
    source: CreditSource
    amount: Money


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """An invoice with its lines; without a payment where there was nothing to collect.

    `used` is empty where the credit was given back.
    """

    id: UUID
    number: str
    issued_at: datetime
    total: Money
    credit: Money
    due: Money
    used: tuple[CreditUsed, ...]
    lines: tuple[LineFacts, ...]
    usage: tuple[UsageBilled, ...]
    coupons: tuple[CouponUsed, ...]
    taxes: tuple[TaxFacts, ...]
    tax_calls: tuple[TaxCallFacts, ...]
    status: InvoiceStatus
    resolved_at: datetime | None
    payment_id: UUID | None


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """A payment method as people recognise it; only a card has all of it."""

    kind: PaymentMethodKind
    brand: str | None
    last4: str | None


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One attempt: when and with what it was sent, and its outcome.

    `method` is None where the payment method belongs to another customer by now.
    """

    payment_id: UUID
    n: int
    kind: AttemptKind
    first_sent_at: datetime
    method: MethodFacts | None
    idempotency_key: str
    sends: int
    outcome: AttemptOutcome | None
    finished_at: datetime | None
    unknown_since: datetime | None
    last_error: str | None
    decline_code: str | None
    decline_class: DeclineClass | None
    advice_code: str | None
    decision: str | None
    decision_facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptsFacts:
    """All attempts of a payment; `decision` is why there was none."""

    attempts: tuple[AttemptFacts, ...]
    decision: str | None
    decision_facts: Mapping[str, Any]


class NextKind(StrEnum):
    """What happens next with a payment."""

    PARKED = "parked"
    FAILED = "failed"
    CAPTURED = "captured"
    UNSCHEDULED = "unscheduled"
    OPEN_ATTEMPT = "open_attempt"
    CAPTURE = "capture"
    VOID = "void"
    WAITS_FOR_CAPTURE = "waits_for_capture"
    WAITS_FOR_METHOD = "waits_for_method"
    ATTEMPT_DUE = "attempt_due"
    ATTEMPT_LATER = "attempt_later"


@dataclass(frozen=True, slots=True)
class NextFacts:
    """What happens next with a payment, and when; only what belongs to `kind` is set."""

    kind: NextKind
    at: datetime | None = None
    parked: ParkedFacts | None = None
    amount: Money | None = None
    decision: str | None = None
    attempt_kind: AttemptKind | None = None
    rung: int | None = None
    decision_facts: Mapping[str, Any] = field(default_factory=dict)


def invoice_facts(conn: Connection, billed: Billed) -> InvoiceFacts | None:
    """Return the invoice of a cycle, or None where its kind bills nothing."""
    invoice = billed.invoice
    if invoice is None:
        return None
    currency = invoice.currency
    return InvoiceFacts(
        id=invoice.id,
        number=invoice.number,
        issued_at=invoice.issued_at,
        total=Money(invoice.total, currency),
        credit=Money(invoice.credit, currency),
        due=Money(invoice.due, currency),
        used=tuple(
            CreditUsed(each.grant_id, each.source, Money(each.amount, currency))
            for each in credit.applied_to(conn, invoice.id)
        ),
        lines=tuple(_line(line, currency) for line in invoices.lines(conn, invoice.id)),
        usage=tuple(
            UsageBilled(each.meter, each.n, each.segment, each.revision, each.quantity, each.events)
            for each in closings.of_invoice(conn, invoice.id)
        ),
        coupons=tuple(
            CouponUsed(each.coupon, Money(each.base, currency), Money(each.amount, currency))
            for each in invoices.discounts(conn, invoice.id)
        ),
        taxes=tuple(
            TaxFacts(
                each.name,
                each.jurisdiction,
                each.treatment,
                each.rate,
                each.included,
                each.reason,
                Money(each.base, currency),
                Money(each.amount, currency),
            )
            for each in tax_decisions.of_invoice(conn, invoice.id)
        ),
        tax_calls=tuple(
            TaxCallFacts(
                each.kind, each.state, each.provider, each.provider_ref, each.error_message
            )
            for each in tax_calls.of_invoice(conn, invoice.id)
        ),
        status=invoice.status,
        resolved_at=invoice.resolved_at,
        payment_id=None if billed.payment is None else billed.payment.id,
    )


def _line(line: InvoiceLine, currency: str) -> LineFacts:
    unit = None if line.unit_amount is None else Money(line.unit_amount, currency)
    return LineFacts(
        n=line.line,
        description=line.description,
        quantity=line.quantity,
        unit_amount=unit,
        unit_price=line.unit_price,
        rows=tuple(
            RowFacts(RowKind(kind), Fraction(quantity), Fraction(price), flat)
            for kind, quantity, price, flat, _ in line.detail
        ),
        gross=Money(line.gross, currency),
        discount=Money(line.discount, currency),
        amount=Money(line.amount, currency),
        tax=Money(line.tax, currency),
    )


def attempts_facts(conn: Connection, payment: Payment) -> AttemptsFacts:
    """Return a payment's attempts in order."""
    methods = {
        method.id: MethodFacts(method.kind, method.brand, method.last4)
        for method in customers.payment_methods_of(conn, payment.customer_id)
    }
    rows = attempts.of_payment(conn, payment.id)
    found = tuple(_attempt(row, methods) for row in rows)
    return AttemptsFacts(found, payment.decision, payment.decision_facts)


def _attempt(row: Attempt, methods: dict[UUID, MethodFacts]) -> AttemptFacts:
    return AttemptFacts(
        payment_id=row.payment_id,
        n=row.n,
        kind=row.kind,
        first_sent_at=row.first_sent_at,
        method=methods.get(row.payment_method_id),
        idempotency_key=row.idempotency_key,
        sends=row.sends,
        outcome=row.outcome,
        finished_at=row.finished_at,
        unknown_since=row.unknown_since,
        last_error=row.last_error,
        decline_code=row.decline_code,
        decline_class=row.decline_class,
        advice_code=row.advice_code,
        decision=row.decision,
        decision_facts=row.decision_facts,
    )


def next_facts(conn: Connection, payment: Payment, now: datetime) -> NextFacts:
    """Return what happens next with a payment."""
    if payment.parked_at is not None:
        parked = ParkedFacts(payment.parked_at, payment.parked_reason, payment.parked_error)
        return NextFacts(NextKind.PARKED, parked=parked)
    at = payment.next_attempt_at
    if at is None:
        return _ended(payment)
    if provider_calls.open_call(conn, payment.id, CallKind.CHARGE) is not None:
        return NextFacts(NextKind.OPEN_ATTEMPT)
    if payment.state is State.AUTHORIZED:
        return _of_authorised(payment)
    kind = payment.next_attempt_kind
    if kind is AttemptKind.GIVE_UP:
        return NextFacts(NextKind.WAITS_FOR_METHOD, at)
    due = NextKind.ATTEMPT_DUE if at <= now else NextKind.ATTEMPT_LATER
    return NextFacts(due, at, attempt_kind=kind, rung=payment.rung)


def _ended(payment: Payment) -> NextFacts:
    match payment.state:
        case State.FAILED:
            return _decided(NextKind.FAILED, payment)
        case State.CREATED | State.AUTHORIZED:
            return NextFacts(NextKind.UNSCHEDULED)
        case State.CAPTURED | State.SETTLED | State.REFUNDED:
            return NextFacts(NextKind.CAPTURED, amount=payment.captured)


def _decided(kind: NextKind, payment: Payment, at: datetime | None = None) -> NextFacts:
    decision, facts = payment.decision, payment.decision_facts
    return NextFacts(kind, at, decision=decision, decision_facts=facts)


def _of_authorised(payment: Payment) -> NextFacts:
    at = payment.next_attempt_at
    if payment.capture_amount is not None:
        return NextFacts(NextKind.CAPTURE, at, amount=payment.to_capture)
    if payment.is_held:
        return NextFacts(NextKind.WAITS_FOR_CAPTURE, at)
    return _decided(NextKind.VOID, payment, at)
