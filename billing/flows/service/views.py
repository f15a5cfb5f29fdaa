"""Rows as callers of the API see them: JSON values under the names of the columns.

An amount is an integer of minor units beside its `currency`, an instant ISO 8601 in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.numbers import exact_text
from billing.queries import credit_notes
from billing.queries.credit import CreditBalance, ListedGrant, ListedMove
from billing.queries.lists import ListedTransaction
from billing.rules.payments import State
from billing.store.access.audit import AuditEntry
from billing.store.payments.invoices import Invoice, InvoiceLine
from billing.store.payments.payments import Payment
from billing.store.payments.refunds import Refund
from billing.store.payments.tax_decisions import InvoiceTax
from billing.store.subscriptions.customers import Customer, PaymentMethod
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.subscriptions.tax_facts import CustomerTaxFacts

View = dict[str, Any]

_CUSTOMER: Final = (
    "id", "external_id", "name", "email", "provider", "default_payment_method_id", "created_at",
)  # fmt: skip
_TAX: Final = (
    "jurisdiction", "name", "treatment", "rate", "included", "reason", "base", "amount",
)  # fmt: skip
_TAX_FACTS: Final = (
    "customer_id", "holds_from", "country", "region", "postal_code", "vat_id", "exempt",
)  # fmt: skip
_PAYMENT_METHOD: Final = (
    "id", "customer_id", "provider", "provider_payment_method_id", "kind", "brand", "last4",
    "exp_month", "exp_year", "created_at",
)  # fmt: skip
_PAYMENT: Final = (
    "id", "customer_id", "payment_method_id", "invoice_id", "subscription_id", "amount",
    "currency", "state", "amount_captured", "amount_refunded", "description", "decline_code",
    "decision", "decision_facts", "authorized_until", "captured_at", "created_at",
)  # fmt: skip
_REFUND: Final = (
    "id", "payment_id", "amount", "currency", "state", "reason", "failure_reason", "created_at",
    "finished_at",
)  # fmt: skip
_SUBSCRIPTION: Final = (
    "id", "external_id", "customer_id", "plan", "plan_version", "currency", "quantity", "status",
    "zone", "every", "trial", "next_n", "renews_at", "cancels_at", "canceled_at",
    "created_at", "provider",
)  # fmt: skip
_INVOICE: Final = (
    "id", "number", "kind", "customer_id", "subscription_id", "currency", "discount", "net", "tax",
    "total", "credit", "due", "status", "issued_at", "resolved_at",
)  # fmt: skip
_LINE: Final = (
    "line", "item", "description", "quantity", "unit_amount", "unit_price", "gross", "discount",
    "amount", "tax", "period_start", "period_end",
)  # fmt: skip
_GRANT: Final = (
    "id", "customer_id", "currency", "amount", "left", "source", "priority", "subscription_id",
    "effective_at", "expires_at", "expired_at", "reason", "created_at",
)  # fmt: skip
_MOVE: Final = ("n", "at", "kind", "amount", "left_after", "invoice_id", "invoice_number")
_BALANCE: Final = ("currency", "left", "usable")
_NOTE: Final = (
    "id", "number", "invoice_id", "invoice_number", "customer_id", "subscription_id", "currency",
    "net", "tax", "total", "discount", "destination", "reason", "refund_id", "refund_state",
    "grant_id", "created_at",
)  # fmt: skip
_NOTE_LINE: Final = ("line", "gross", "discount", "net", "tax")
_TRANSACTION: Final = (
    "id", "kind", "payment_id", "customer_id", "amount", "currency", "state", "created_at",
)  # fmt: skip
_AUDIT: Final = ("id", "at", "actor", "action", "subject", "why", "detail")


def plain(value: object) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else exact_text(value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def _view(row: Any, names: tuple[str, ...]) -> View:
    return {name: plain(getattr(row, name)) for name in names}


def customer(row: Customer) -> View:
    """Return who pays."""
    return _view(row, _CUSTOMER)


def tax_facts(row: CustomerTaxFacts) -> View:
    """Return what is known of a customer for taxes from an instant on."""
    return _view(row, _TAX_FACTS)


def payment_method(row: PaymentMethod) -> View:
    """Return what a payment method is recognised by."""
    return _view(row, _PAYMENT_METHOD)


def payment(row: Payment) -> View:
    """Return a payment; `pending` says that its state is about to change, whoever waits.

    Its decision is a kind with facts; the API tells the sentence.
    """
    capture = {"capture": row.capture_method}
    return _view(row, _PAYMENT) | capture | {"pending": is_pending(row)}


def is_pending(row: Payment) -> bool:
    """Tell whether a call is under way: the first attempt, a capture, a void.

    An authorisation that waits for a request isn't pending.
    """
    if row.state == State.CREATED:
        return True
    if row.state != State.AUTHORIZED:
        return False
    if row.capture_amount is not None:
        return True
    at, until = row.next_attempt_at, row.authorized_until
    return at is not None and until is not None and at < until


def refund(row: Refund) -> View:
    """Return a refund."""
    return _view(row, _REFUND)


def subscription(row: Subscription) -> View:
    """Return a subscription."""
    return _view(row, _SUBSCRIPTION) | {"cancel_at_period_end": row.cancels_at is not None}


def invoice(row: Invoice) -> View:
    """Return an invoice without its lines."""
    return _view(row, _INVOICE)


def invoice_line(row: InvoiceLine, left: int) -> View:
    """Return one line of an invoice, with what credit notes left of its gross."""
    return _view(row, _LINE) | {"left": left}


def invoice_tax(row: InvoiceTax) -> View:
    """Return one tax of an invoice."""
    return _view(row, _TAX)


def credit_grant(row: ListedGrant) -> View:
    """Return a grant of credit with what is left of it."""
    return _view(row, _GRANT)


def credit_move(row: ListedMove) -> View:
    """Return one move of a grant."""
    return _view(row, _MOVE)


def credit_balance(row: CreditBalance) -> View:
    """Return what a customer has left in a currency."""
    return _view(row, _BALANCE)


def credit_note_with_lines(conn: Connection, note_id: UUID) -> View:
    """Return an existing credit note with its lines, and what became of it."""
    note = credit_notes.credit_note(conn, note_id)
    lines = credit_notes.lines(conn, note_id)
    return _view(note, _NOTE) | {"lines": [_view(line, _NOTE_LINE) for line in lines]}


def transaction(row: ListedTransaction) -> View:
    """Return a charge or a refund as the list of all of them has it."""
    return _view(row, _TRANSACTION)


def audit_line(row: AuditEntry) -> View:
    """Return one line of the audit log."""
    return _view(row, _AUDIT)
