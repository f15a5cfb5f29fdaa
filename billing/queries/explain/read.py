"""All facts about one payment or one subscription, read together."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import ErrorCode, NotFound
from billing.pricing import InvoiceKind
from billing.queries.explain.billed import Billed, billed_of_cycle, billed_of_payment
from billing.queries.explain.books import (
    CycleFacts,
    EntryFacts,
    RevenueFacts,
    cycle_facts,
    journal_facts,
    revenue_facts,
)
from billing.queries.explain.collection import (
    AttemptsFacts,
    InvoiceFacts,
    NextFacts,
    attempts_facts,
    invoice_facts,
    next_facts,
)
from billing.queries.explain.money_back import MoneyBackFacts, money_back_facts
from billing.queries.explain.renewal import (
    NextPeriodFacts,
    StandingFacts,
    next_period_facts,
    standing_facts,
)
from billing.queries.explain.subjects import (
    PaymentFacts,
    SubscriptionFacts,
    payment_facts,
    subscription_facts,
)
from billing.queries.explain.terms import (
    ScheduleFacts,
    TermsFacts,
    schedule_facts,
    terms_facts,
)
from billing.queries.subscriptions import find_subscription
from billing.store.payments import invoices, payments
from billing.store.payments.payments import Payment
from billing.store.subscriptions import cycles


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """How a payment was collected, what comes next, and what was given back of it."""

    attempts: AttemptsFacts
    next_step: NextFacts
    money_back: MoneyBackFacts


@dataclass(frozen=True, slots=True)
class BilledFacts:
    """What was billed and collected for a cycle, or by a one-off payment.

    `cycle`, `terms` and `schedule` are None for a one-off payment, `invoice` too where the kind
    of the cycle bills nothing, `collection` where there was nothing to collect.
    """

    terms: TermsFacts | None
    schedule: ScheduleFacts | None
    invoice: InvoiceFacts | None
    collection: CollectionFacts | None
    revenue: RevenueFacts | None
    journal: tuple[EntryFacts, ...]
    cycle: CycleFacts | None


@dataclass(frozen=True, slots=True)
class PaymentExplained:
    """All facts about one payment."""

    payment: PaymentFacts
    billed: BilledFacts


@dataclass(frozen=True, slots=True)
class SubscriptionExplained:
    """All facts about one subscription; `billed` is its last cycle's, None before the first."""

    subscription: SubscriptionFacts
    standing: StandingFacts
    next_period: NextPeriodFacts | None
    billed: BilledFacts | None


@dataclass(frozen=True, slots=True)
class InvoiceExplained:
    """All facts about an invoice of no subscription that nothing has to be collected for."""

    billed: BilledFacts


Explanation = PaymentExplained | SubscriptionExplained | InvoiceExplained


def explain_payment(conn: Connection, payment_id: UUID, now: datetime) -> PaymentExplained:
    """Explain one payment, from the terms it was priced with to its journal entries.

    Raises `NotFound`.
    """
    payment = payments.get(conn, payment_id)
    if payment is None:
        raise NotFound(
            f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
        )
    billed = billed_of_payment(conn, payment)
    return PaymentExplained(payment_facts(conn, billed), _billed_facts(conn, billed, now))


def explain_invoice(conn: Connection, invoice_id: UUID, now: datetime) -> InvoiceExplained:
    """Explain an invoice of no subscription that has no payment. Raises `NotFound`."""
    invoice = invoices.find(conn, str(invoice_id))
    if invoice is None:
        raise NotFound(f"no invoice {invoice_id}", where="invoice")
    return InvoiceExplained(_billed_facts(conn, Billed(None, None, invoice, None), now))


def explain_subscription(conn: Connection, reference: str, now: datetime) -> SubscriptionExplained:
    """Explain why a subscription is, or isn't, charged now, and how its last cycle ended.

    Raises `NotFound`.
    """
    subscription = find_subscription(conn, reference)
    opened = cycles.of_subscription(conn, subscription.id)
    last = billed_of_cycle(conn, subscription, opened[-1]) if opened else None
    return SubscriptionExplained(
        subscription_facts(conn, subscription),
        standing_facts(conn, subscription, now),
        next_period_facts(conn, subscription),
        None if last is None else _billed_facts(conn, last, now),
    )


def _billed_facts(conn: Connection, billed: Billed, now: datetime) -> BilledFacts:
    subscription, cycle, payment = billed.subscription, billed.cycle, billed.payment
    terms = schedule = None
    if subscription is not None and cycle is not None:
        terms = terms_facts(conn, subscription, cycle)
        schedule = schedule_facts(conn, subscription, cycle)
    return BilledFacts(
        terms=terms,
        schedule=schedule,
        invoice=invoice_facts(conn, billed),
        collection=None if payment is None else _collection(conn, payment, now),
        revenue=_revenue(conn, billed),
        journal=journal_facts(conn, billed),
        cycle=cycle_facts(conn, billed, now),
    )


def _revenue(conn: Connection, billed: Billed) -> RevenueFacts | None:
    """Return what an invoice has earned; one of credit earns nothing."""
    invoice = billed.invoice
    if invoice is None or invoice.kind is InvoiceKind.TOP_UP:
        return None
    return revenue_facts(conn, invoice)


def _collection(conn: Connection, payment: Payment, now: datetime) -> CollectionFacts:
    return CollectionFacts(
        attempts_facts(conn, payment),
        next_facts(conn, payment, now),
        money_back_facts(conn, payment),
    )
