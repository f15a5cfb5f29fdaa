"""How a PaymentIntent is rendered."""

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.declines import decline_error
from billing.sandbox.errors import Body
from billing.sandbox.resources.payment_methods import render as render_method
from billing.sandbox.store import Record


def render(call: Call, record: Record) -> Body:
    """Return the PaymentIntent as Stripe shows it."""
    capturable = record["amount"] if record["status"] == "requires_capture" else 0
    intent_id = record["id"]
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": record["amount"],
        "amount_capturable": capturable,
        "amount_details": {"tip": {}},
        "amount_received": record["received"],
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": record.get("automatic"),
        "canceled_at": record.get("canceled_at"),
        "cancellation_reason": record.get("cancellation_reason"),
        "capture_method": record["capture_method"],
        "client_secret": f"{intent_id}_secret_{intent_id[-20:]}",
        "confirmation_method": record["confirmation_method"],
        "created": record["created"],
        "currency": record["currency"],
        "customer": record["customer"],
        "customer_account": None,
        "description": record["description"],
        "excluded_payment_method_types": None,
        "last_payment_error": _last_error(call, record),
        "latest_charge": record["latest_charge"],
        "livemode": False,
        "metadata": record["metadata"],
        "next_action": _next_action(record),
        "on_behalf_of": None,
        "payment_method": record["payment_method"],
        "payment_method_configuration_details": None,
        "payment_method_options": {kind: _OPTIONS[kind] for kind in record["types"]},
        "payment_method_types": record["types"],
        "processing": None,
        "receipt_email": record.get("receipt_email"),
        "review": None,
        "setup_future_usage": record.get("setup_future_usage"),
        "shipping": None,
        "statement_descriptor": record.get("statement_descriptor"),
        "statement_descriptor_suffix": record.get("statement_descriptor_suffix"),
        "status": record["status"],
        "transfer_data": None,
        "transfer_group": None,
    }


_OPTIONS: dict[str, Body] = {
    "card": {"request_three_d_secure": "automatic"},
    "paypal": {"preferred_locale": None, "reference": None},
}


def _next_action(record: Record) -> Body | None:
    if not record.get("next_action"):
        return None
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}


def _last_error(call: Call, record: Record) -> Body | None:
    """Return a PaymentIntent's `last_payment_error`."""
    saved = record.get("last_error")
    if not saved:
        return None
    method = render_method(call, saved["method"])
    error: Body = decline_error(saved["decline"], charge=saved["charge"], payment_method=method)[
        "error"
    ]
    return error


KIND = ObjectKind(
    "payment_intent",
    render,
    {
        "customer": ("customer",),
        "latest_charge": ("charge",),
        "payment_method": ("payment_method",),
    },
)
