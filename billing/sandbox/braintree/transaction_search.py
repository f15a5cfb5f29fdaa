"""Searching transactions: the criteria of the SDK's TransactionSearch that the sandbox knows."""

from typing import Any

from billing.sandbox.braintree import method_view
from billing.sandbox.braintree.call import CUSTOMER, DISPUTE, TRANSACTION, MerchantCall
from billing.sandbox.braintree.history import at_of
from billing.sandbox.braintree.money import comparable, decimal_text
from billing.sandbox.braintree.people import PERSON
from billing.sandbox.braintree.replies import XmlReply
from billing.sandbox.braintree.searching import Field, masked, matches, page, search_ids, text_of
from billing.sandbox.braintree.transaction_view import shown
from billing.sandbox.store import Record

_ADDRESS = (
    "company",
    "country_name",
    "extended_address",
    "first_name",
    "last_name",
    "locality",
    "postal_code",
    "region",
    "street_address",
)
_STATUSES = (
    "authorized",
    "authorization_expired",
    "submitted_for_settlement",
    "settled",
    "voided",
    "processor_declined",
    "gateway_rejected",
    "failed",
)
_INSTRUMENTS = {"credit_card": "CreditCardDetail", "paypal_account": "PayPalDetail"}


def _key(call: MerchantCall, ref: str) -> str:
    return call.key(TRANSACTION, ref)


def _customer_key(call: MerchantCall, ref: str) -> str:
    return call.key(CUSTOMER, ref)


def _in(group: str, name: str) -> Field:
    return Field("text", lambda _, r: text_of([r[group].get(name)]))


def _of_instrument(name: str, kind: str = "text") -> Field:
    return Field(kind, lambda _, r: text_of([r["instrument"].get(name)]))


def _when(status: str) -> Field:
    return Field("time", lambda _, r: list(at_of(r, status)))


def _dispute_dates(call: MerchantCall, record: Record) -> list[Any]:
    return [call.stored(DISPUTE, key)["opened_on"] for key in record["disputes"]]


def _expiry(record: Record) -> list[str]:
    instrument = record["instrument"]
    if instrument["kind"] != "credit_card":
        return []
    return [f"{instrument['exp_month']}/{instrument['exp_year']}"]


def _number(record: Record) -> list[str]:
    """Return what is known of a card's number."""
    instrument = record["instrument"]
    if instrument["kind"] != "credit_card":
        return []
    return [masked(instrument["bin"], instrument["last4"])]


def _of_paypal(record: Record, name: str) -> list[str]:
    if record["instrument"]["kind"] != "paypal_account":
        return []
    return text_of([method_view.paypal(record)[name]])


_FIELDS: dict[str, Field] = {
    **{f"customer_{name}": _in("customer_details", name) for name in PERSON},
    **{f"billing_{name}": _in("billing", name) for name in _ADDRESS},
    **{f"shipping_{name}": _in("shipping", name) for name in _ADDRESS},
    **{f"{status}_at": _when(status) for status in _STATUSES},
    "id": Field("text", lambda _, r: [r["ref"]], "id", _key),
    "ids": Field("list", lambda _, r: [r["ref"]], "id", _key),
    "order_id": Field(
        "text", lambda _, r: text_of([r["order_id"]]), "json_extract(body, '$.order_id')"
    ),
    "customer_id": Field("text", lambda _, r: text_of([r["customer_ref"]]), "owner", _customer_key),
    "status": Field("list", lambda _, r: [r["status"]], "json_extract(body, '$.status')"),
    "type": Field("list", lambda _, r: [r["type"]]),
    "source": Field("list", lambda _, r: ["recurring" if r["recurring"] else "api"]),
    "created_using": Field(
        "list", lambda _, r: ["token" if r["method"] is not None else "full_information"]
    ),
    "merchant_account_id": Field("list", lambda _, r: [r["merchant_account"]]),
    "payment_instrument_type": Field("list", lambda _, r: [_INSTRUMENTS[r["instrument"]["kind"]]]),
    "refund": Field("flag", lambda _, r: [r["refunded_transaction"] is not None]),
    "amount": Field("amount", lambda _, r: [comparable(decimal_text(r["amount"], r["currency"]))]),
    "created_at": Field("time", lambda _, r: [r["created"]], "created"),
    "disbursement_date": Field(
        "day",
        lambda _, r: [] if r["disbursement"] is None else [r["disbursement"]["date"]],
        "json_extract(body, '$.disbursed_on')",
    ),
    "acquirer_reference_number": Field(
        "text", lambda c, r: text_of([shown(c, r)["acquirer_reference_number"]])
    ),
    "paypal_payment_id": Field("text", lambda _, r: _of_paypal(r, "payment_id")),
    "paypal_authorization_id": Field("text", lambda _, r: _of_paypal(r, "authorization_id")),
    "dispute_date": Field("day", _dispute_dates),
    "settlement_batch_id": Field("text", lambda _, r: text_of([r["batch"]])),
    "processor_authorization_code": Field("text", lambda _, r: text_of([r["authorization_code"]])),
    "payment_method_token": _of_instrument("token"),
    "paypal_payer_email": _of_instrument("email"),
    "credit_card_cardholder_name": _of_instrument("cardholder_name"),
    "credit_card_card_type": _of_instrument("card_type", "list"),
    "credit_card_unique_identifier": _of_instrument("unique"),
    "credit_card_expiration_date": Field("text", lambda _, r: _expiry(r)),
    "credit_card_number": Field("card", lambda _, r: _number(r)),
}


def advanced_search_ids(call: MerchantCall) -> XmlReply:
    """Answer with the ids of all that is found."""
    return search_ids(matches(call, TRANSACTION, _FIELDS))


def advanced_search(call: MerchantCall) -> XmlReply:
    """Answer with the transactions that are found."""
    found = matches(call, TRANSACTION, _FIELDS)
    nodes = [shown(call, each) for each in found]
    return page("credit_card_transactions", "transaction", nodes)
