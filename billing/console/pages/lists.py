"""The lists: subscriptions, customers, payments, invoices, what is parked, refunds and disputes."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.console import references, tables, words
from billing.console.requests import ConsolePage
from billing.console.tables import Cell, Filter, ListPage
from billing.presenters import parking
from billing.queries import customers, invoices, parked, payments, refunds, subscriptions
from billing.queries.customers import ListedCustomer
from billing.queries.invoices import ListedInvoice
from billing.queries.parked import Parked
from billing.queries.payments import ListedPayment
from billing.queries.refunds import ListedRefund
from billing.queries.subscriptions import ListedSubscription
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import State
from billing.rules.refunds import RefundState
from billing.rules.subscriptions import Status

YES_NO: Final = ("yes", "no")


def is_yes(_: Connection, typed: str) -> bool:
    """Read a filter of yes and no."""
    return typed == "yes"


CUSTOMER: Final = Filter("customer_id", "Customer", read=references.reader("customer"))
SUBSCRIPTION: Final = Filter(
    "subscription_id", "Subscription", read=references.reader("subscription")
)


def customer_cell(customer_id: UUID, external_id: str | None, name: str | None) -> Cell:
    """Return the cell of a customer: by name, then by id."""
    return tables.thing("customer", customer_id, name or external_id)


def customer_of(row: ListedSubscription | ListedPayment | ListedInvoice) -> Cell:
    """Return the cell of a row's customer."""
    return customer_cell(row.customer_id, row.customer_external_id, row.customer_name)


def subscription_of(row: ListedPayment | ListedInvoice) -> Cell:
    """Return the cell of a row's subscription, if it has one."""
    return tables.thing("subscription", row.subscription_id, row.subscription_external_id)


def _subscription(row: ListedSubscription) -> Sequence[Cell]:
    return (
        tables.thing("subscription", row.id, row.external_id),
        customer_of(row),
        Cell(row.plan),
        tables.state("parked" if row.parked_at else row.status),
        tables.plain(row.renews_at),
        tables.plain(row.created_at),
    )


SUBSCRIPTIONS: Final = ListPage(
    title="Subscriptions",
    place="subscriptions",
    headings=("subscription", "customer", "plan", "status", "renews at", "created at"),
    read=subscriptions.subscriptions,
    cells=_subscription,
    filters=(
        Filter("status", "Status", tuple(Status)),
        Filter("plan", "Plan"),
        Filter("parked", "Parked", YES_NO, is_yes),
        CUSTOMER,
    ),
)


def _customer(row: ListedCustomer) -> Sequence[Cell]:
    return (
        customer_cell(row.id, row.external_id, row.name),
        tables.plain(row.external_id),
        tables.plain(row.email),
        Cell(words.card(row.payment_method_kind, row.card_brand, row.card_last4)),
        tables.plain(row.live_subscriptions),
        tables.plain(row.created_at),
    )


CUSTOMERS: Final = ListPage(
    title="Customers",
    place="customers",
    headings=("customer", "your id", "e-mail", "payment method", "subscriptions", "created at"),
    numbers=("subscriptions",),
    read=customers.customers,
    cells=_customer,
    filters=(Filter("email", "E-mail"),),
)


def payment_state(row: ListedPayment) -> Cell:
    """Return the cell of a payment's state, or of what is stronger than it."""
    if row.parked_at is not None:
        return Cell("parked", tone="danger")
    return Cell("unknown", tone="danger") if row.unknown else tables.state(row.state)


def _payment(row: ListedPayment) -> Sequence[Cell]:
    return (
        tables.thing("payment", row.id),
        customer_of(row),
        tables.thing("invoice", row.invoice_number, row.invoice_number),
        tables.money(row.amount, row.currency),
        payment_state(row),
        Cell(words.text(row.decline_code)),
        tables.plain(row.next_attempt_at),
        tables.plain(row.created_at),
    )


PAYMENTS: Final = ListPage(
    title="Payments",
    place="payments",
    headings=(
        "payment", "customer", "invoice", "amount", "state", "decline", "next try", "created at",
    ),
    numbers=("amount",),
    read=payments.payments,
    cells=_payment,
    filters=(
        Filter("state", "State", tuple(State)),
        Filter("parked", "Parked", YES_NO, is_yes),
        Filter("unknown", "No answer", YES_NO, is_yes),
        CUSTOMER,
        SUBSCRIPTION,
    ),
)  # fmt: skip


def _invoice(row: ListedInvoice) -> Sequence[Cell]:
    return (
        tables.thing("invoice", row.number, row.number),
        customer_of(row),
        tables.plain(row.issued_at),
        tables.money(row.total, row.currency),
        tables.money(row.due, row.currency),
        tables.state(row.status),
        tables.thing(
            "payment", row.payment_id, row.payment_state and str(row.payment_state).lower()
        ),
    )


INVOICES: Final = ListPage(
    title="Invoices",
    place="invoices",
    headings=("invoice", "customer", "issued at", "total", "due", "status", "payment"),
    numbers=("total", "due"),
    read=invoices.invoices,
    cells=_invoice,
    filters=(Filter("status", "Status", tuple(InvoiceStatus)), CUSTOMER, SUBSCRIPTION),
)


def _parked(row: Parked) -> Sequence[Cell]:
    named = row.external_id if row.kind == "subscription" else None
    return (
        tables.thing(str(row.kind), row.id, named),
        Cell(str(row.kind)),
        tables.thing("customer", row.customer_id, row.customer_external_id),
        tables.plain(row.parked_at),
        Cell(words.plain(words.text(row.reason)), tone="warning"),
        tables.plain(parking.in_words(row.reason, row.error, row.facts)),
    )


PARKED: Final = ListPage(
    title="Parked",
    place="parked",
    headings=("what", "kind", "customer", "parked at", "reason", "why"),
    read=parked.parked,
    cells=_parked,
    filters=(Filter("kind", "Kind", ("subscription", "payment")), Filter("reason", "Reason")),
    note="What an error took out of scheduling. Nothing is billed or charged until it is released.",
    forward=True,
)


def _refund(row: ListedRefund) -> Sequence[Cell]:
    return (
        Cell(f"…{words.short(row.id)}", title=str(row.id)),
        tables.thing("payment", row.payment_id),
        tables.money(row.amount, row.currency),
        tables.state(row.state),
        tables.plain(row.reason),
        tables.plain(row.requested_by),
        tables.plain(row.failure_reason),
        tables.plain(row.created_at),
    )


REFUNDS: Final = ListPage(
    title="Refunds",
    place="refunds",
    headings=(
        "refund", "payment", "amount", "state", "reason", "asked for by", "failed because",
        "created at",
    ),
    numbers=("amount",),
    read=refunds.refunds,
    cells=_refund,
    filters=(
        Filter("state", "State", tuple(RefundState)),
        Filter("payment_id", "Payment", read=references.reader("payment")),
    ),
    forward=True,
)  # fmt: skip


def _dispute(row: payments.Dispute) -> Sequence[Cell]:
    return (
        Cell(row.provider_dispute_id),
        tables.thing("payment", row.payment_id),
        tables.thing("customer", row.customer_id),
        tables.money(row.amount, row.currency),
        tables.state(row.state),
        tables.plain(row.reason),
        tables.plain(row.opened_at),
        tables.plain(row.closed_at),
    )


DISPUTES: Final = ListPage(
    title="Disputes",
    place="disputes",
    headings=(
        "dispute", "payment", "customer", "amount", "state", "reason", "opened at", "closed at",
    ),
    numbers=("amount",),
    read=payments.disputes,
    cells=_dispute,
    filters=(
        Filter("state", "State", tuple(payments.DisputeState)),
        Filter("open", "Undecided", ("yes",), is_yes),
    ),
    note="Evidence is given at the provider; what becomes of a dispute comes here by itself.",
    forward=True,
)  # fmt: skip

LISTS: Final = (SUBSCRIPTIONS, CUSTOMERS, PAYMENTS, INVOICES, PARKED, REFUNDS, DISPUTES)
PAGES: Final[tuple[ConsolePage, ...]] = tuple(page for each in LISTS for page in tables.pages(each))
