"""Charges: each try at a card or a wallet, whether it went through or not.

Those of wallets are called payments, by their id and in their balance transaction.
"""

from typing import Any

from billing.sandbox.behaviours import Behaviour, behaviour_of
from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.declines import DECLINES
from billing.sandbox.errors import Body, Reply
from billing.sandbox.ids import new_id
from billing.sandbox.listing import VISIBLE, list_page, list_params
from billing.sandbox.params import Params, text, texts
from billing.sandbox.resources.balance_transactions import book
from billing.sandbox.resources.events import record_event
from billing.sandbox.resources.payment_methods import card_details
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.wallets import CARD, charge_details, type_of

_ADDRESS: Body = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_COPIED = ("amount", "currency", "customer", "description", "metadata")


def new_charge(call: Call, intent: Record, method: Record, *, decline: str | None) -> Record:
    """Store a charge for a PaymentIntent: failed with `decline`, else authorised."""
    record: Record = {name: intent[name] for name in _COPIED}
    kind = type_of(method)
    record.update(
        id=new_id("ch" if kind == CARD else "py"),
        created=call.now,
        payment_intent=intent["id"],
        payment_method=method["id"],
        token=method["token"],
        type=kind,
        decline=decline,
        captured=0,
        refunded=0,
    )
    record |= {"card": card_details(method)} if kind == CARD else {"payer": method["payer"]}
    if decline is None and intent["capture_method"] != "manual":
        settle(call, record, intent, record["amount"])
    call.store.insert("charge", record, parent=intent["id"])
    event = "charge.failed" if decline else "charge.succeeded"
    record_event(call, event, KIND, record)
    return record


def settle(call: Call, record: Record, intent: Record, amount: int) -> None:
    """Capture `amount` on the record: book it, less the fee. The caller stores the record."""
    late = intent["capture_method"] == "automatic_async"
    delay = call.settings.async_capture_seconds if late else 0
    manner = behaviour_of(record.get("token", "pm_card_visa"))
    assert manner is not None, "charges are made with known tokens"
    wait = 0 if manner.available_at_once else call.settings.available_after_seconds
    booked_at = call.now + delay
    kind = "charge" if type_of(record) == CARD else "payment"
    booked = book(
        call,
        kind,
        record,
        amount,
        fee=call.settings.fee,
        delay=delay,
        available_on=booked_at + wait,
        category="charge",
    )
    record.update(captured=amount, balance_transaction=booked["id"], booked_at=booked_at)
    _plan(call, record, manner, delay)


def _plan(call: Call, record: Record, manner: Behaviour, delay: int) -> None:
    if delay:
        call.store.remind(call.now + delay, "charge.booked", record["id"])
    if manner.dispute is not None:
        call.store.remind(call.now, "dispute.open", record["id"])


def booked_late(call: Call, charge_id: str) -> None:
    """Tell that a charge captured asynchronously has its balance transaction now."""
    record_event(call, "charge.updated", KIND, call.stored("charge", charge_id))


def render(call: Call, record: Record) -> Body:
    """Return the charge as Stripe shows it."""
    failure = DECLINES[record["decline"]] if record["decline"] else None
    booked = record.get("booked_at", call.now) <= call.now
    refunded = record["refunded"]
    return {
        "id": record["id"],
        "object": "charge",
        "amount": record["amount"],
        "amount_captured": record["captured"],
        "amount_refunded": refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": record.get("balance_transaction") if booked else None,
        "billing_details": {
            "address": _ADDRESS,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": None if failure else "SANDBOX",
        "captured": record["captured"] > 0,
        "created": record["created"],
        "currency": record["currency"],
        "customer": record["customer"],
        "description": record["description"],
        "disputed": record.get("disputed", False),
        "failure_balance_transaction": None,
        "failure_code": failure and failure.code,
        "failure_message": failure and failure.message,
        "fraud_details": {},
        "livemode": False,
        "metadata": record["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(record),
        "paid": failure is None,
        "payment_intent": record["payment_intent"],
        "payment_method": record["payment_method"],
        "payment_method_details": _method_details(record, failure is None),
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": refunded > 0 and refunded >= (record["captured"] or record["amount"]),
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "failed" if failure else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _method_details(record: Record, approved: bool) -> Body:
    kind = type_of(record)
    if kind != CARD:
        return {"type": kind, kind: charge_details(record, approved=approved)}
    card: Body = {
        **record["card"],
        "amount_authorized": record["amount"] if approved else None,
        "authorization_code": "123456" if approved else None,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": None,
        },
        "installments": None,
        "mandate": None,
        "network": record["card"]["brand"],
        "three_d_secure": None,
    }
    return {"type": "card", "card": card}


def _outcome(record: Record) -> Body:
    failure = DECLINES[record["decline"]] if record["decline"] else None
    outcome: Body = {
        "advice_code": failure and failure.advice_code,
        "network_advice_code": None,
        "network_decline_code": failure and failure.network,
        "network_status": "declined_by_network" if failure else "approved_by_network",
        "reason": failure and (failure.decline_code or failure.code),
        "seller_message": "Payment complete.",
        "type": "issuer_declined" if failure else "authorized",
    }
    outcome |= _CARD_RISK if type_of(record) == CARD else _NO_RISK
    if failure:
        reason = failure.decline_code or failure.code
        outcome["seller_message"] = f"The bank returned the decline code `{reason}`."
    return outcome


_CARD_RISK: Body = {"risk_level": "normal", "risk_score": 1}
_NO_RISK: Body = {"risk_level": "not_assessed"}


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("charge")))


def _list(call: Call) -> Reply:
    columns = {"customer": "owner = ?", "payment_intent": "parent = ?"}
    conditions: list[tuple[str, Any]] = [
        (condition, call.params[name]) for name, condition in columns.items() if name in call.params
    ]
    return list_page(call, KIND, "/v1/charges", [*conditions, VISIBLE])


KIND = ObjectKind(
    "charge",
    render,
    {
        "balance_transaction": ("balance_transaction",),
        "customer": ("customer",),
        "payment_intent": ("payment_intent",),
    },
)

ACTIONS = {"charge.booked": booked_late}

ROUTES = (
    Route("GET", "/v1/charges/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/charges",
        list_params(customer=text, payment_intent=text),
        _list,
        KIND.name,
        lists=True,
    ),
)
