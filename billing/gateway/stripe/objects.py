"""From Stripe's objects to our values. Every reader raises `Malformed` for what isn't one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from billing.gateway.objects import (
    BalanceTransaction,
    ProviderCharge,
    ProviderCustomer,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
)
from billing.gateway.stripe.amounts import rate_from_stripe
from billing.gateway.stripe.categories import movement_kind
from billing.gateway.stripe.classify import read_intent
from billing.gateway.stripe.events import kind_of
from billing.gateway.stripe.fields import (
    Json,
    expect,
    instant,
    integer,
    metadata,
    money,
    reference,
    to_instant,
)
from billing.gateway.stripe.statuses import (
    dispute_stage,
    payment_status,
    payout_status,
    refund_failure,
    refund_status,
)
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.plans.currencies import book_currencies
from billing.rules.money import Money, prorate
from billing.rules.reconciliation import MovementKind, best_made


def read_payment(data: Json) -> ProviderPayment:
    """Read a PaymentIntent."""
    intent = read_intent(data)
    return ProviderPayment(
        id=intent.id,
        status=payment_status(intent.status),
        amount=intent.amount,
        amount_received=intent.received,
        customer=intent.customer,
        latest_charge_id=intent.latest_charge,
        metadata=metadata(data),
        created=to_instant(intent.created),
    )


def read_customer(data: Json) -> ProviderCustomer:
    """Read a customer; of one that was deleted nothing but the id is left."""
    expect(data, "customer")
    chosen = mapping(data.get("invoice_settings")).get("default_payment_method")
    return ProviderCustomer(
        id=required(data, "id"),
        default_payment_method=reference(chosen),
        deleted=data.get("deleted") is True,
        name=text(data, "name") or "",
        email=text(data, "email"),
        created=None if data.get("created") is None else instant(data, "created"),
        metadata=metadata(data),
    )


def read_charge(data: Json) -> ProviderCharge:
    """Read a charge; the amount is what was captured of it, if anything was."""
    expect(data, "charge")
    captured, succeeded = data.get("captured") is True, data.get("status") == "succeeded"
    reason = text(mapping(data.get("outcome")), "reason") or text(data, "failure_code")
    return ProviderCharge(
        id=required(data, "id"),
        provider_payment_id=reference(data.get("payment_intent")),
        amount=money(data, "amount_captured" if captured else "amount"),
        captured=captured,
        succeeded=succeeded,
        created=instant(data, "created"),
        refunded_amount=money(data, "amount_refunded").amount,
        decline_code=None if succeeded else reason,
        metadata=metadata(data),
        payment_method=text(data, "payment_method"),
    )


def read_refund(data: Json) -> ProviderRefund:
    """Read a refund."""
    expect(data, "refund")
    return ProviderRefund(
        id=required(data, "id"),
        provider_payment_id=reference(data.get("payment_intent")),
        provider_charge_id=reference(data.get("charge")),
        amount=money(data, "amount"),
        status=refund_status(text(data, "status")),  # nullable at Stripe
        created=instant(data, "created"),
        failure_reason=refund_failure(text(data, "failure_reason")),
        metadata=metadata(data),
    )


def read_dispute(data: Json) -> ProviderDispute:
    """Read a dispute with the movements it caused so far."""
    expect(data, "dispute")
    charge = reference(data.get("charge"))
    stage, is_inquiry = dispute_stage(required(data, "status"))
    movements = data.get("balance_transactions")
    if charge is None or not isinstance(movements, list):
        raise Malformed("charge or balance_transactions is missing")
    return ProviderDispute(
        id=required(data, "id"),
        provider_charge_id=charge,
        provider_payment_id=reference(data.get("payment_intent")),
        amount=money(data, "amount"),
        stage=stage,
        reason=required(data, "reason"),
        created=instant(data, "created"),
        is_inquiry=is_inquiry,
        balance_transactions=tuple(
            _movement(mapping(movement), source=data) for movement in movements
        ),
    )


def read_payout(data: Json) -> ProviderPayout:
    """Read a payout."""
    expect(data, "payout")
    return ProviderPayout(
        id=required(data, "id"),
        amount=money(data, "amount"),
        status=payout_status(required(data, "status")),
        created=instant(data, "created"),
        arrival=instant(data, "arrival_date") if data.get("arrival_date") is not None else None,
    )


def read_event(data: Json) -> ProviderEvent:
    """Read an event, and of its object no more than kind and id, if the provider made that."""
    expect(data, "event")
    body = mapping(mapping(data.get("data")).get("object"))
    event_id, written, created = _name(data, "id"), _name(data, "type"), integer(data, "created")
    object_type, object_id = _name(body, "object"), reference(body) or ""
    if not _NAME.fullmatch(object_id):  # some, like a coupon's, are whatever somebody wrote
        object_id = ""
    return ProviderEvent(
        id=event_id,
        type=written,
        kind=kind_of(written),
        object_type=object_type,
        object_id=object_id,
        created=to_instant(created),
        payload={
            "id": event_id,
            "type": written,
            "object_type": object_type,
            "object_id": object_id,
            "created": created,
        },
    )


def _name(data: Json, field: str) -> str:
    """Return an id or a type of the provider's; any other text can't be kept as one."""
    found = required(data, field)
    if not _NAME.fullmatch(found):
        raise Malformed(f"{field} is no name")
    return found


def read_balance_transaction(data: Json) -> BalanceTransaction:
    """Read a movement on the balance whose source is expanded.

    Its numbers have to be whole: read the JSON with fractions as text.
    """
    return _movement(data, source=mapping(data.get("source")))


def movement_in(payout: str) -> Callable[[Json], BalanceTransaction]:
    """Return a reader of movements that are known to be carried by a payout."""
    return lambda data: replace(read_balance_transaction(data), payout_id=payout)


def read_balance(data: Json) -> Mapping[str, int]:
    """Add up what is available and what is pending, by currency.

    A currency that can't stand in books is left out: the movements that made it are breaks.
    """
    expect(data, "balance")
    sums: dict[str, int] = {}
    for part in ("available", "pending"):
        funds = data.get(part)
        if not isinstance(funds, list):
            raise Malformed(f"{part} is missing")
        for item in funds:
            funds_in = mapping(item)
            if required(funds_in, "currency").upper() not in book_currencies():
                continue
            amount = money(funds_in, "amount")
            sums[amount.currency] = sums.get(amount.currency, 0) + amount.amount
    return sums


def _movement(data: Json, *, source: Json) -> BalanceTransaction:
    expect(data, "balance_transaction")
    amount, fee, net = money(data, "amount"), money(data, "fee"), money(data, "net")
    if net != amount - fee:
        raise Malformed(f"net {net} isn't amount {amount} less fee {fee}")
    kind, source_id = required(data, "type"), reference(data.get("source"))
    category = required(data, "reporting_category")
    customer_money = _customer_money(amount, data, source)
    source_kind = text(source, "object") or _kind_by_prefix(source_id)
    charge = source_id if source_kind == "charge" else reference(source.get("charge"))
    return BalanceTransaction(
        id=required(data, "id"),
        kind=movement_kind(category),
        category=category,
        type=kind,
        amount=amount.amount,
        fee=fee.amount,
        net=net.amount,
        currency=amount.currency,
        source_id=source_id,
        provider_charge_id=charge,
        provider_payment_id=reference(source.get("payment_intent")),
        customer_money=customer_money,
        exchange_rate=_exchange_rate(data.get("exchange_rate"), customer_money, amount.currency),
        payout_id=source_id if source_kind == "payout" else None,
        created=instant(data, "created"),
        available_on=instant(data, "available_on"),
        metadata=metadata(source),
    )


def _kind_by_prefix(source_id: str | None) -> str | None:
    """Tell what a source is that came as an id, as the key may not read every kind."""
    return _KINDS.get((source_id or "").partition("_")[0])


def _customer_money(amount: Money, data: Json, source: Json) -> Money | None:
    """Return a movement in the currency of the charge, refund or dispute that it is about."""
    source_kind = source.get("object")
    if source_kind not in ("charge", "refund", "dispute"):
        return None
    if required(source, "currency").upper() == amount.currency:
        return amount
    movement = movement_kind(required(data, "reporting_category"))
    if source_kind == "charge" and movement is MovementKind.CAPTURE_REVERSAL:
        return money(source, "amount_captured") - money(source, "amount")
    if source_kind == "charge" and required(data, "type") not in ("charge", "payment"):
        return None  # a part of the charge; which one isn't said
    whole = money(source, "amount")
    if source_kind == "charge":
        whole = _charged(amount, whole, data.get("exchange_rate"), source)
    if source_kind == "dispute":
        whole = _part_of_dispute(amount, whole, source)
    return -whole if amount.amount < 0 else whole


def _charged(amount: Money, whole: Money, rate: object, charge: Json) -> Money:
    """Return what a charge's own movement is in the customer's currency.

    That is what was captured of it, or the whole of it where the rest is reversed by a movement of
    its own: whichever the exchange rate makes the movement of.
    """
    captured = money(charge, "amount_captured")
    known = captured if whole == captured else None
    if known is not None or not isinstance(rate, str) or not _DECIMAL.fullmatch(rate):
        return captured
    exact = rate_from_stripe(rate, captured.currency, amount.currency)
    return best_made((captured, whole), amount, exact)


def _part_of_dispute(amount: Money, whole: Money, dispute: Json) -> Money:
    """Return the part of a dispute's amount that a movement in another currency is about.

    A dispute may move in parts: a correction gives a little back. Each part counts by its share of
    the most that was withheld at one time. A return of nearly all of it is all of it, at another
    rate, unless the dispute is lost nevertheless.
    """
    part, most = abs(amount.amount), _most_withheld(amount.currency, dispute)
    returned = amount.amount > 0 and dispute.get("status") != "lost"
    if part and (part >= most or (returned and 4 * part >= 3 * most)):
        return whole
    return prorate(whole, part, most) if part else Money(0, whole.currency)


def _most_withheld(currency: str, dispute: Json) -> int:
    """Return the most that a dispute's movements in a currency held back at one time."""
    listed = dispute.get("balance_transactions")
    moved = [mapping(each) for each in listed] if isinstance(listed, list) else []
    held = most = 0
    for each in sorted(moved, key=lambda each: integer(each, "created")):
        taken = money(each, "amount")
        if taken.currency == currency:
            held -= taken.amount
            most = max(most, held)
    return most


def _exchange_rate(value: object, customer_money: Money | None, currency: str) -> str | None:
    """Return a rate in major units, from the decimal it was written as: a float loses digits."""
    if value is None:
        return None
    written = str(value) if type(value) is int else value
    if not isinstance(written, str) or not _DECIMAL.fullmatch(written):
        raise Malformed("the exchange rate is no exact decimal")
    if customer_money is None:
        return None
    return f"{rate_from_stripe(written, customer_money.currency, currency):f}"


_KINDS: Final = {"ch": "charge", "py": "charge", "po": "payout"}
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_NAME: Final = re.compile(r"[!-~]{1,255}")
