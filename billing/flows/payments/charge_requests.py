"""The request of a charge: what follows from the payment, and how its call keeps it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from billing.gateway import ChargeRequest
from billing.pricing import Facts
from billing.rules.invoice_marks import ChangeMark, InvoiceMark, OrderMark, TopUpMark
from billing.rules.money import Money
from billing.rules.payment_methods import method_type
from billing.rules.payments import CaptureMethod
from billing.store.payments.payment_steps import PaymentForAttempt

_COMPACT: Final = "%Y%m%dT%H%M%SZ"


def invoice_mark(row: PaymentForAttempt) -> InvoiceMark | None:
    """Return what a payment's charge says of its invoice; None for a charge without one."""
    if row.invoice_issued_at is None:
        return None
    if row.top_up_priority is not None and row.invoice_id is not None:
        bought = TopUpMark(row.invoice_id, row.top_up_priority, row.top_up_valid_days)
        return InvoiceMark(row.invoice_issued_at, top_up=bought)
    if row.ordered_facts is not None and row.invoice_id is not None:
        order = _order_mark(row.invoice_id, Facts.from_document(row.ordered_facts))
        return InvoiceMark(row.invoice_issued_at, order=order)
    if row.change_id is None:
        return InvoiceMark(row.invoice_issued_at)
    asked = row.change_detail or {}
    moved = asked.get("schedule", {})
    change = ChangeMark(
        row.change_id,
        asked.get("plan"),
        asked.get("items", {}),
        moved.get("billing_day"),
        moved.get("zone"),
    )
    return InvoiceMark(row.invoice_issued_at, change)


def _order_mark(invoice_id: UUID, facts: Facts) -> OrderMark:
    days = facts.charges[0].days
    return OrderMark(
        invoice_id,
        tuple((charge.name, int(charge.price.amount)) for charge in facts.charges),
        None if days is None else (*days, facts.zone),
        any(tax.included for tax in facts.taxes),
    )


def request_for(
    row: PaymentForAttempt, n: int, key: str, engine: UUID, mark: Mapping[str, str]
) -> ChargeRequest:
    """Return the n-th attempt's request; what it names lets it be found in the provider's lists.

    `mark` tells whoever has forgotten the payment what it was for.
    """
    assert row.provider_customer_id is not None
    assert row.payment_method_token is not None
    assert row.payment_method_kind is not None
    metadata = {"payment": str(row.id), "attempt": str(n), "key": key, "engine": str(engine)}
    if row.subscription_id is not None:
        metadata["subscription"] = str(row.subscription_id)
    if row.period_start is not None:
        metadata["period"] = _compact(row.period_start)
    if row.invoice_number is not None:
        metadata["invoice"] = row.invoice_number
    metadata |= mark
    return ChargeRequest(
        idempotency_key=key,
        amount=row.money,
        provider_customer_id=row.provider_customer_id,
        payment_method=row.payment_method_token,
        provider_payment_id=row.provider_payment_id,
        manual_capture=row.capture_method is CaptureMethod.MANUAL,
        description=f"Invoice {row.invoice_number}" if row.invoice_number else row.description,
        metadata=metadata,
        method_type=method_type(row.payment_method_kind, row.payment_method_brand),
    )


def key_of(
    mode: str, subscription_id: UUID | None, period_start: datetime | None, payment_id: UUID
) -> str:
    """Return the idempotency key of an attempt without its number.

    It follows from subscription and period; a one-off payment has none, so its own id stands in.
    """
    if subscription_id is None or period_start is None:
        return f"{mode}:payment:{payment_id}:a"
    return f"{mode}:{subscription_id}:{_compact(period_start)}:a"


def period_start(metadata: Mapping[str, str]) -> datetime | None:
    """Return when the period begins that a charge names; None for a charge of its own."""
    try:
        return datetime.strptime(metadata.get("period", ""), _COMPACT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _compact(at: datetime) -> str:
    return at.astimezone(UTC).strftime(_COMPACT)


def request_to_json(request: ChargeRequest) -> dict[str, Any]:
    """Return a request in the form that its call keeps.

    What isn't set of what came later is left out, so that an old request stays as it was.
    """
    values: dict[str, Any] = {
        "idempotency_key": request.idempotency_key,
        "amount": request.amount.amount,
        "currency": request.amount.currency,
        "provider_customer_id": request.provider_customer_id,
        "payment_method": request.payment_method,
        "provider_payment_id": request.provider_payment_id,
        "manual_capture": request.manual_capture,
        "description": request.description,
        "metadata": dict(request.metadata),
    }
    if request.method_type is not None:
        values["method_type"] = request.method_type
    return values


def request_from_json(values: Mapping[str, Any]) -> ChargeRequest:
    """Rebuild the request that was committed, so that a resend has the same fingerprint."""
    rest = {key: value for key, value in values.items() if key not in ("amount", "currency")}
    return ChargeRequest(amount=Money(values["amount"], values["currency"]), **rest)
