"""What is done to a transaction: submitted in whole or in parts, voided, refunded, reversed."""

from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree import codes, history
from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.details import check_details
from billing.sandbox.braintree.outcomes import Outcome, refund_code
from billing.sandbox.braintree.replies import XmlReply, refuse
from billing.sandbox.braintree.settling import submit
from billing.sandbox.braintree.transaction_view import reply_about
from billing.sandbox.braintree.transactions import PASSED_ON, begin, read_amount
from billing.sandbox.store import Record

_VOIDABLE = (history.AUTHORIZED, history.SUBMITTED, history.PENDING)
_REFUNDABLE = (history.SETTLED, history.SETTLING)


def submit_for_settlement(call: MerchantCall) -> XmlReply:
    """Submit the whole of an authorisation, or less of it: the rest is let go."""
    record = call.named(TRANSACTION)
    given = call.params.get("transaction") or {}
    if record["status"] != history.AUTHORIZED or record["type"] != "sale":
        raise refuse("transaction", "base", "91507")
    _take_less(record, given)
    _take_details(record, given)
    submit(call, record)
    return reply_about(call, record)


def _take_less(record: Record, given: Mapping[str, Any]) -> None:
    """Lower the amount to the one that is given, if one is. Raises: RefusedRequest."""
    if given.get("amount") is None:
        return
    amount = read_amount(given["amount"], record["currency"])
    if amount > record["amount"]:
        raise refuse("transaction", "amount", "91522")
    record["amount"] = amount


def _take_details(record: Record, given: Mapping[str, Any]) -> None:
    check_details(given)
    if given.get("order_id") is not None:
        record["order_id"] = given["order_id"]
    if given.get("descriptor"):
        record["descriptor"] = given["descriptor"]
    for name in PASSED_ON:
        if given.get(name) is not None:
            record["passed_on"][name] = given[name]


def submit_in_part(call: MerchantCall) -> XmlReply:
    """Submit a part of an authorisation as a transaction of its own."""
    sale = call.named(TRANSACTION)
    given = call.params.get("transaction") or {}
    open_ = sale["status"] in (history.AUTHORIZED, history.PENDING)
    if not open_ or sale["type"] != "sale" or sale["authorized_transaction"] is not None:
        raise refuse("transaction", "base", "915103")
    amount = read_amount(given.get("amount"), sale["currency"])
    taken = sum(call.stored(TRANSACTION, key)["amount"] for key in sale["partial_settlements"])
    if amount > sale["amount"] - taken:
        raise refuse("transaction", "amount", "91522")
    part = copied(sale, "sale", amount)
    part["authorized_transaction"] = sale["id"]
    _take_details(part, given)
    begin(call, part, Outcome(history.SUBMITTED, codes.APPROVED))
    part["authorization_code"] = sale["authorization_code"]
    call.update(part)
    submit(call, part, again=True)
    sale["partial_settlements"] = [*sale["partial_settlements"], part["id"]]
    if sale["status"] == history.AUTHORIZED:
        history.move(call, sale, history.PENDING)
    else:
        call.update(sale)
    return reply_about(call, part, status=201)


def copied(sale: Record, kind: str, amount: int) -> Record:
    """Return a draft of a transaction that follows from another one."""
    fresh: Record = {
        "type": kind,
        "status": None,
        "amount": amount,
        "history": [],
        "refunds": [],
        "refunded": 0,
        "refunded_transaction": None,
        "partial_settlements": [],
        "disputes": [],
        "settlement_code": None,
        "batch": None,
        "disbursed_on": None,
        "disbursement": None,
        "expires_at": None,
    }
    kept = {
        name: value for name, value in sale.items() if name not in ("planned", "settled_on", "fee")
    }
    return {**kept, **fresh, "passed_on": dict(sale["passed_on"])}


def void(call: MerchantCall) -> XmlReply:
    """Void what isn't in a batch yet."""
    record = call.named(TRANSACTION)
    if record["status"] not in _VOIDABLE or record["partial_settlements"]:
        raise refuse("transaction", "base", "91504")
    _void(call, record)
    return reply_about(call, record)


def _void(call: MerchantCall, record: Record) -> None:
    history.move(call, record, history.VOIDED)
    if record["refunded_transaction"] is not None:  # a refund that never left
        sale = call.stored(TRANSACTION, record["refunded_transaction"])
        sale["refunded"] -= record["amount"]
        call.update(sale)


def refund(call: MerchantCall) -> XmlReply:
    """Give back what a sale brought, or a part of it."""
    sale = call.named(TRANSACTION)
    return _refund(call, sale, call.params.get("transaction") or {})


def _refund(call: MerchantCall, sale: Record, given: Mapping[str, Any]) -> XmlReply:
    if sale["type"] == "credit":
        raise refuse("transaction", "base", "91505")
    if sale["status"] not in _REFUNDABLE:
        raise refuse("transaction", "base", "91506")
    left = sale["amount"] - sale["refunded"]
    if left <= 0:
        raise refuse("transaction", "base", "91512")
    amount = left
    if given.get("amount") is not None:
        amount = read_amount(given["amount"], sale["currency"])
    if amount > left:
        raise refuse("transaction", "amount", "91521")
    record = copied(sale, "credit", amount)
    record["refunded_transaction"] = sale["id"]
    _through(call, record, given.get("merchant_account_id"))
    if given.get("order_id") is not None:
        record["order_id"] = given["order_id"]
    check_details(given)
    return _processed(call, sale, record)


def _through(call: MerchantCall, record: Record, name: str | None) -> None:
    """Have a refund go through another merchant account of its currency.

    Raises: RefusedRequest.
    """
    if name is None:
        return
    found = call.settings.account(name)
    if found is None or found[1].currency != record["currency"]:
        raise refuse("transaction", "merchant_account_id", "91513")
    record["merchant_account"] = name


def _processed(call: MerchantCall, sale: Record, record: Record) -> XmlReply:
    declined = refund_code(call, sale, record["amount"])
    if declined is not None and codes.response_type(declined) == "hard_declined":
        begin(call, record, Outcome(history.PROCESSOR_DECLINED, declined))
        return reply_about(call, record, status=201)
    record["soft_declined"] = declined  # a refund goes on after a soft decline
    begin(call, record, Outcome(history.SUBMITTED, codes.PROCESSED))
    submit(call, record, again=True)
    sale["refunded"] += record["amount"]
    sale["refunds"] = [*sale["refunds"], record["id"]]
    call.update(sale)
    return reply_about(call, record, status=201)


def reverse(call: MerchantCall) -> XmlReply:
    """Void a sale while that is possible, else refund the whole of it."""
    record = call.named(TRANSACTION)
    if record["status"] in _VOIDABLE and not record["partial_settlements"]:
        _void(call, record)
        return reply_about(call, record)
    return _refund(call, record, {})


def update_details(call: MerchantCall) -> XmlReply:
    """Change what may still be changed of a submitted transaction."""
    record = call.named(TRANSACTION)
    given = call.params.get("transaction") or {}
    if record["status"] != history.SUBMITTED:
        raise refuse("transaction", "base", "915129")
    _take_less(record, given)
    _take_details(record, given)
    call.update(record)
    return reply_about(call, record)
