"""What is sent for a request of the engine's: the same request makes the same bytes."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from billing.gateway.braintree.amounts import positive_to_text
from billing.gateway.braintree.fields import OURS, SECOND
from billing.gateway.outcomes import ChargeRequest, RefundRequest

FIELDS: Final = (
    "payment", "attempt", "key", "engine", "subscription", "period", "invoice", "request", "caller",
    "customer", "external_id",
)  # fmt: skip
"""The metadata that is kept in custom fields, which have to be set up in the control panel."""
LONG: Final = ("request", "caller", "external_id")
"""What may be longer than a field, and goes on in a second one."""
LONGEST_FIELD: Final = 255
_KEY: Final = re.compile(r"[A-Za-z0-9:_.-]{1,255}")
_ID_DIGITS: Final = 32


def request_key(idempotency_key: str) -> str:
    """Return the `api_request_key`: the engine's key, or a digest of one that Braintree may refuse.

    Its alphabet isn't documented, only its length.
    """
    return idempotency_key if _KEY.fullmatch(idempotency_key) else _digest(idempotency_key)


def own_id(idempotency_key: str) -> str:
    """Return the id of an object that is made under a key: making it again finds it taken."""
    return f"p-{_digest(idempotency_key)[:_ID_DIGITS]}"


def order_of(request: ChargeRequest) -> str:
    """Return the order id of an attempt; it begins with what `orders_of` returns."""
    attempt = _digest(request.idempotency_key)
    ours = request.metadata.get("payment")
    return f"{orders_of(ours)}{attempt[:8]}" if ours else attempt


def orders_of(payment: str) -> str:
    """Return what the order ids of all attempts of a payment begin with."""
    return f"{payment}-"


def order_of_refund(request: RefundRequest) -> str:
    """Return the order id of a refund: our refund's own id."""
    return request.metadata.get("refund") or _digest(repr(sorted(request.metadata.items())))


def custom_fields(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return the custom fields for what an object is to carry; what is too long is left out."""
    fields: dict[str, str] = {}
    for name in FIELDS:
        first, second = _parts(metadata.get(name, ""))
        if first and len(second) <= (LONGEST_FIELD if name in LONG else 0):
            fields[f"{OURS}{name}"] = first
            if second:
                fields[f"{OURS}{name}{SECOND}"] = second
    return fields


def _parts(value: str) -> tuple[str, str]:
    """Divide a value after what one field takes, and not at a space, which might be cut off."""
    at = LONGEST_FIELD
    while (
        len(value) > LONGEST_FIELD
        and at
        and value[at - 1 : at + 1].strip() != value[at - 1 : at + 1]
    ):
        at -= 1
    return value[:at], value[at:]


def sale_of(request: ChargeRequest, accounts: Mapping[str, str]) -> Mapping[str, object]:
    """Return the parameters of a sale; `accounts` has the merchant accounts by currency.

    Raises: UnwritableAmount.
    """
    params: dict[str, object] = {
        "type": "sale",
        "amount": positive_to_text(request.amount),
        "api_request_key": request_key(request.idempotency_key),
        "order_id": order_of(request),
        "customer_id": request.provider_customer_id,
        "payment_method_token": request.payment_method,
        "transaction_source": "recurring" if "subscription" in request.metadata else "unscheduled",
        "options": {"submit_for_settlement": not request.manual_capture},
    }
    account = accounts.get(request.amount.currency)
    if account is not None:
        params["merchant_account_id"] = account
    fields = custom_fields(request.metadata)
    if fields:
        params["custom_fields"] = fields
    return params


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
