"""Disputes: chargebacks take the money and a fee at once, inquiries take nothing.

They are opened by certain test cards and through the control API, and decided there or by
evidence: Stripe's `winning_evidence` and `losing_evidence`. Winning brings the amount back; the
fee for having received the dispute stays with Stripe (settings: `dispute_fee_returned`).
"""

from typing import Any

from billing.sandbox.behaviours import behaviour_of
from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    boolean,
    clearable_text,
    merged_metadata,
    metadata,
    nested,
    text,
    texts,
)
from billing.sandbox.resources import balance_transactions
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.wallets import CARD, PAYPAL, type_of

_RESPONSE_SECONDS = 9 * 86_400
_OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
OUTCOMES = ("won", "lost", "warning_closed", "escalated")

# Visa's reason codes; an inquiry carries the number before the point.
_NETWORK_CODES = {
    "fraudulent": "10.4",
    "unrecognized": "10.4",
    "duplicate": "12.6",
    "product_not_received": "13.1",
    "subscription_canceled": "13.2",
    "product_unacceptable": "13.3",
    "credit_not_processed": "13.6",
}
# PayPal's own.
_PAYPAL_REASONS = {
    "fraudulent": "UNAUTHORISED",
    "unrecognized": "UNAUTHORISED",
    "duplicate": "DUPLICATE_TRANSACTION",
    "product_not_received": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
    "subscription_canceled": "CANCELED_RECURRING_BILLING",
    "product_unacceptable": "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED",
    "credit_not_processed": "CREDIT_NOT_PROCESSED",
}
REASONS = (*_NETWORK_CODES, "general", "noncompliant")
_EVIDENCE_NAMES = """
access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
cancellation_rebuttal customer_communication customer_email_address customer_name
customer_purchase_ip customer_signature duplicate_charge_documentation
duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
refund_policy_disclosure refund_refusal_explanation service_date service_documentation
shipping_address shipping_carrier shipping_date shipping_documentation
shipping_tracking_number uncategorized_file uncategorized_text
"""
_EVIDENCE = tuple(_EVIDENCE_NAMES.split())


def open_dispute(
    call: Call, charge: Record, amount: int | None, reason: str, *, inquiry: bool
) -> Record:
    """Dispute a charge, by default all of it that wasn't refunded. Raises: ApiError."""
    left = charge["captured"] - charge["refunded"]
    wanted = left if amount is None else amount
    if charge.get("disputed") or not 0 < wanted <= left:
        raise refused(f"Charge {charge['id']} can't be disputed for {wanted}.", param="amount")
    record: Record = {
        "id": new_id("dp"),
        "created": call.now,
        "amount": wanted,
        "currency": charge["currency"],
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "type": type_of(charge),
        "brand": charge.get("card", {}).get("brand"),
        "reason": reason,
        "inquiry": inquiry,
        "status": "warning_needs_response" if inquiry else "needs_response",
        "evidence": {},
        "submissions": 0,
        "moves": [],
        "metadata": {},
    }
    charge["disputed"] = True
    call.store.update(charge)
    call.store.insert("dispute", record, parent=charge["payment_intent"])
    record_event(call, "charge.dispute.created", KIND, record)
    if not inquiry:
        _withdraw(call, record, charge)
    return record


def _withdraw(call: Call, record: Record, charge: Record) -> None:
    fee = call.settings.dispute_fee
    booked = balance_transactions.book(
        call,
        "adjustment",
        record,
        -record["amount"],
        fee=lambda _: fee,
        category="dispute",
        description=f"Chargeback withdrawal for {charge['id']}",
        fee_description="Dispute fee",
    )
    record["moves"].append(booked["id"])
    call.store.update(record)
    charge["charged_back"] = True
    call.store.update(charge)
    record_event(call, "charge.dispute.funds_withdrawn", KIND, record)


def decide(call: Call, record: Record, outcome: str) -> None:
    """Close an open dispute, or escalate an inquiry to a chargeback. Raises: ApiError."""
    fitting = ("warning_closed", "escalated") if record["inquiry"] else ("won", "lost")
    if record["status"] not in _OPEN or outcome not in fitting:
        status = record["status"]
        raise refused(f"Dispute {record['id']} is {status}: it can't become {outcome}.")
    charge = call.stored("charge", record["charge"])
    if outcome == "escalated":
        if record["amount"] > charge["captured"] - charge["refunded"]:
            raise refused(f"Dispute {record['id']}: its charge was refunded.")
        record.update(inquiry=False, status="needs_response")
        _withdraw(call, record, charge)
        return
    record["status"] = outcome
    if outcome == "won":
        _reinstate(call, record, charge)
    call.store.update(record)
    record_event(call, "charge.dispute.closed", KIND, record)


def _reinstate(call: Call, record: Record, charge: Record) -> None:
    taken = call.stored("balance_transaction", record["moves"][0])
    back = balance_transactions.give_back(
        call,
        taken,
        "adjustment",
        record,
        fee=-taken["fee"] if call.settings.dispute_fee_returned else 0,
        category="dispute_reversal",
        description=f"Chargeback reversal for {charge['id']}",
        fee_description="Dispute fee refund",
    )
    record["moves"].append(back["id"])
    charge["charged_back"] = False
    call.store.update(charge)
    call.store.update(record)
    record_event(call, "charge.dispute.funds_reinstated", KIND, record)


def open_for_card(call: Call, charge_id: str) -> None:
    """Open the dispute that a test card brings on, unless its money is back already."""
    charge = call.stored("charge", charge_id)
    manner = behaviour_of(charge["token"])
    if manner is None or manner.dispute is None or charge["refunded"] >= charge["captured"]:
        return
    open_dispute(call, charge, None, manner.dispute, inquiry=manner.inquiry)


def judge(call: Call, dispute_id: str) -> None:
    """Decide on the evidence sent in, when it is one of the two texts that decide."""
    record = call.stored("dispute", dispute_id)
    outcomes = {"winning_evidence": "won", "losing_evidence": "lost"}
    outcome = outcomes.get(record["evidence"].get("uncategorized_text", ""))
    if outcome is not None and record["status"] in _OPEN:
        decide(call, record, "warning_closed" if record["inquiry"] else outcome)


def render(call: Call, record: Record) -> Body:
    """Return the dispute as Stripe shows it."""
    moves = [call.stored("balance_transaction", each) for each in record["moves"]]
    return {
        "id": record["id"],
        "object": "dispute",
        "amount": record["amount"],
        "balance_transactions": [balance_transactions.render(call, each) for each in moves],
        "charge": record["charge"],
        "created": record["created"],
        "currency": record["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {
            **{name: record["evidence"].get(name) for name in _EVIDENCE},
            "enhanced_evidence": {},
        },
        "evidence_details": {
            "due_by": record["created"] + _RESPONSE_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": bool(record["evidence"]),
            "past_due": False,
            "submission_count": record["submissions"],
        },
        "is_charge_refundable": record["inquiry"] and record["status"] in _OPEN,
        "livemode": False,
        "metadata": record["metadata"],
        "payment_intent": record["payment_intent"],
        "payment_method_details": _method_details(record),
        "reason": record["reason"],
        "status": record["status"],
    }


def _method_details(record: Record) -> Body:
    if type_of(record) == PAYPAL:
        reason = _PAYPAL_REASONS.get(record["reason"], "OTHER")
        case = f"PP-R-{record['id'][-12:].upper()}"
        return {"type": PAYPAL, PAYPAL: {"case_id": case, "reason_code": reason}}
    code, inquiry = _NETWORK_CODES.get(record["reason"], "10.4"), record["inquiry"]
    card = {
        "brand": record["brand"],
        "case_type": "inquiry" if inquiry else "chargeback",
        "network_reason_code": code.partition(".")[0] if inquiry else code,
    }
    return {"type": CARD, CARD: card}


def _update(call: Call) -> Reply:
    record = call.named_in_path("dispute")
    params = call.params
    if "metadata" in params:
        record["metadata"] = merged_metadata(record["metadata"], params["metadata"])
    if "evidence" in params:
        if record["status"] not in _OPEN:
            raise refused("This dispute is already closed.", param="evidence")
        given = {**record["evidence"], **params["evidence"]}
        record["evidence"] = {name: value for name, value in given.items() if value}
    if record["evidence"] and record["status"] in _OPEN and params.get("submit", True):
        record["status"] = "warning_under_review" if record["inquiry"] else "under_review"
        record["submissions"] += 1
        call.store.remind(call.now, "dispute.judge", record["id"])
    call.store.update(record)
    record_event(call, "charge.dispute.updated", KIND, record)
    return Reply(200, render(call, record))


def _close(call: Call) -> Reply:
    record = call.named_in_path("dispute")
    decide(call, record, "warning_closed" if record["inquiry"] else "lost")
    return Reply(200, render(call, record))


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("dispute")))


def _list(call: Call) -> Reply:
    columns = {"payment_intent": "parent = ?", "charge": "json_extract(body, '$.charge') = ?"}
    conditions: list[tuple[str, Any]] = [
        (condition, call.params[name]) for name, condition in columns.items() if name in call.params
    ]
    return list_page(call, KIND, "/v1/disputes", conditions)


KIND = ObjectKind("dispute", render, {"charge": ("charge",), "payment_intent": ("payment_intent",)})

_UPDATE = Params(
    {
        "evidence": nested(**dict.fromkeys(_EVIDENCE, clearable_text)),
        "metadata": metadata,
        "submit": boolean,
        "expand": texts,
    }
)
_ONLY_EXPAND = Params({"expand": texts})

ACTIONS = {"dispute.open": open_for_card, "dispute.judge": judge}

ROUTES = (
    Route("GET", "/v1/disputes/*", _ONLY_EXPAND, _retrieve, KIND.name),
    Route("POST", "/v1/disputes/*", _UPDATE, _update, KIND.name),
    Route("POST", "/v1/disputes/*/close", _ONLY_EXPAND, _close, KIND.name),
    Route(
        "GET",
        "/v1/disputes",
        list_params(charge=text, payment_intent=text),
        _list,
        KIND.name,
        lists=True,
    ),
)
