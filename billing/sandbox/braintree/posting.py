"""A notification as it is posted: base64 of its XML, signed with the endpoint's keys."""

from billing.sandbox.braintree.call import MerchantCall, call_for, merchant_of
from billing.sandbox.braintree.dispute_view import dispute_view
from billing.sandbox.braintree.method_view import shown as method_view
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.notifications import form_of, pairs, payload_of
from billing.sandbox.braintree.transaction_view import shown as transaction_view
from billing.sandbox.braintree.xml import Day, Listed, Node
from billing.sandbox.call import Call
from billing.sandbox.store import Record

_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": "Braintree Webhooks (sandbox)",
}


def render(call: Call, record: Record) -> bytes:
    """Return the payload of a notification."""
    of = call_for(call, merchant_of(record["id"]))
    name, inside = _subject(of, record["object"])
    return payload_of(record["kind"], record.get("timestamp") or record["created"], name, inside)


def sign(
    endpoint: Record, content: bytes, _timestamp: int, kind: str
) -> tuple[bytes, dict[str, str]]:
    """Return the form that is posted; Braintree's signature has no time in it."""
    return form_of(content, pairs(endpoint), kind), _HEADERS


def _subject(call: MerchantCall, subject: Record) -> tuple[str, Node | bool]:
    kind = subject["id"].split(":", 3)[2] if "id" in subject else "check"
    if kind == "transaction":
        return "transaction", transaction_view(call, subject)
    if kind == "dispute":
        return "dispute", dispute_view(call, subject)
    if kind == "method":
        return str(subject["instrument"]["kind"]), method_view(call, subject)
    if kind == "disbursement":
        return "disbursement", _disbursement(subject)
    return "check", True


def _disbursement(subject: Record) -> Node:
    currency = subject["currency"]
    return {
        "id": subject["public"],
        "transaction_ids": Listed("item", subject["transactions"]),
        "success": True,
        "retry": False,
        "merchant_account": {
            "id": subject["account"],
            "currency_iso_code": currency,
            "sub_merchant_account": False,
            "status": "active",
        },
        "amount": decimal_text(subject["amount"], currency),
        "disbursement_date": Day(subject["date"]),
        "disbursement_type": "debit" if subject["amount"] < 0 else "credit",
        "exception_message": None,
        "follow_up_action": None,
    }
