"""The SDK's `testing` gateway: a transaction's settlement at once, as it is asked for."""

from billing.sandbox.braintree import history
from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.replies import XmlReply, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.braintree.settling import batch_id, settle
from billing.sandbox.braintree.transaction_view import reply_about
from billing.sandbox.store import Record

_OPEN = (history.SUBMITTED, history.SETTLING, history.PENDING)


def _submitted(call: MerchantCall) -> Record:
    record = call.named(TRANSACTION)
    if record["status"] not in _OPEN:
        raise refuse("transaction", "base", "91575")
    if record["batch"] is None:
        record["batch"] = batch_id(call, record)
    return record


def _settle(call: MerchantCall) -> XmlReply:
    record = _submitted(call)
    record["settlement_code"] = "4000"
    settle(call, record)
    return reply_about(call, record)


def _confirm(call: MerchantCall) -> XmlReply:
    record = _submitted(call)
    history.move(call, record, "settlement_confirmed")
    return reply_about(call, record)


def _decline(call: MerchantCall) -> XmlReply:
    record = _submitted(call)
    record["settlement_code"] = "4001"
    history.move(call, record, history.DECLINED)
    return reply_about(call, record)


def _pend(call: MerchantCall) -> XmlReply:
    record = _submitted(call)
    record["settlement_code"] = "4002"
    history.move(call, record, history.PENDING)
    return reply_about(call, record)


ROUTES = (
    XmlRoute("PUT", "transactions/*/settle", _settle),
    XmlRoute("PUT", "transactions/*/settlement_confirm", _confirm),
    XmlRoute("PUT", "transactions/*/settlement_decline", _decline),
    XmlRoute("PUT", "transactions/*/settlement_pending", _pend),
)
