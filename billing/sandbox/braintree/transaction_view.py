"""Transactions as they are shown, and the answers that are about one."""

from typing import Any

from billing.sandbox.braintree import codes, method_view
from billing.sandbox.braintree.call import DISPUTE, TRANSACTION, MerchantCall
from billing.sandbox.braintree.dispute_view import dispute_view
from billing.sandbox.braintree.history import FAILED, REJECTED, UNSUCCESSFUL
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.people import PERSON, address_view
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply, failure
from billing.sandbox.braintree.xml import Day, Listed, Node, When
from billing.sandbox.store import Record

_NOTHING = (
    "voice_referral_number",
    "acquirer_reference_number",
    "additional_processor_response",
    "avs_error_response_code",
    "plan_id",
    "subscription_id",
    "service_fee_amount",
    "escrow_status",
    "three_d_secure_info",
    "network_response_code",
    "network_response_text",
    "installment_count",
    "retried_transaction_id",
    "tax_amount",
    "discount_amount",
    "shipping_amount",
    "shipping_tax_amount",
    "surcharge_amount",
    "purchase_order_number",
    "channel",
)


def reply_about(call: MerchantCall, record: Record, *, status: int = 200) -> XmlReply:
    """Return the answer to a request that made or changed a transaction, as it stands now."""
    if record["status"] in UNSUCCESSFUL:
        refused = failure(dict(call.params), _message(record), transaction=shown(call, record))
        return XmlReply(refused.status, refused.root, refused.value, record["id"])
    return XmlReply(status, "transaction", shown(call, record), record["id"])


def _message(record: Record) -> str:
    if record["status"] == REJECTED:
        return f"Gateway Rejected: {record['reason']}"
    return codes.response_text(record["code"])


def shown(call: MerchantCall, record: Record) -> Node:
    """Return a transaction."""
    currency = record["currency"]
    return {
        **dict.fromkeys(_NOTHING),
        "id": record["ref"],
        "global_id": record["id"],
        "status": record["status"],
        "type": record["type"],
        "currency_iso_code": currency,
        "amount": decimal_text(record["amount"], currency),
        "merchant_account_id": record["merchant_account"],
        "order_id": record["order_id"],
        "created_at": When(record["created"]),
        "updated_at": When(record["updated"]),
        "recurring": record["recurring"],
        "custom_fields": record["custom_fields"] or "",
        "descriptor": {name: record["descriptor"].get(name) for name in ("name", "phone", "url")},
        **record["passed_on"],
        "gateway_rejection_reason": record["reason"],
        **_processor(record),
        **_people(record),
        **_means(record),
        **_history(record),
        **_refunds(record),
        "authorization_expires_at": When(record["expires_at"]),
        "retried": False,
        "processed_with_network_token": False,
        "partially_authorized": record["code"] == codes.PARTLY_APPROVED,
        "settlement_batch_id": record["batch"],
        "disbursement_details": disbursement_details(record),
        "disputes": Listed(
            "dispute", [dispute_view(call, call.stored(DISPUTE, key)) for key in record["disputes"]]
        ),
        "add_ons": Listed("add_on", []),
        "discounts": Listed("discount", []),
        "authorization_adjustments": Listed("authorization_adjustment", []),
    }


def _processor(record: Record) -> Node:
    code, settlement = record["code"], record["settlement_code"]
    response: dict[str, Any] = {
        "processor_response_code": code or "",
        "processor_response_text": codes.response_text(code) if code else "",
        "processor_response_type": codes.response_type(code) if code else None,
        "processor_authorization_code": record["authorization_code"],
        "network_transaction_id": record["network_transaction_id"],
        "processor_settlement_response_code": settlement or "",
        "processor_settlement_response_text": codes.settlement_text(settlement)
        if settlement
        else "",
        "avs_postal_code_response_code": record["avs_postal"],
        "avs_street_address_response_code": record["avs_street"],
        "cvv_response_code": record["instrument"].get("cvv", "A"),
        "retrieval_reference_number": record["network_transaction_id"][:12],
        "network_response_code": "XX" if code else None,
        "network_response_text": "sample network response text" if code else None,
        "merchant_advice_code": record.get("advice"),
        "merchant_advice_code_text": codes.ADVICE.get(record.get("advice") or ""),
    }
    declined = record.get("soft_declined") or code
    if declined and declined >= "2000" and record["status"] != FAILED:
        response["additional_processor_response"] = f"{declined} : {codes.response_text(declined)}"
    if record["batch"] is not None and record["instrument"]["kind"] == "credit_card":
        response["acquirer_reference_number"] = f"7{record['network_transaction_id']}"
    return response


def _people(record: Record) -> Node:
    details = record["customer_details"]
    return {
        "customer": {
            "id": record["customer_ref"],
            **{name: details.get(name) for name in PERSON},
            "international_phone": details.get("international_phone") or {},
        },
        "billing": address_view(record["billing"]),
        "shipping": address_view(record["shipping"]),
    }


def _means(record: Record) -> Node:
    instrument = record["instrument"]
    kind = {"payment_instrument_type": instrument["kind"]}
    if instrument["kind"] == "paypal_account":
        return {**kind, "credit_card": _no_card(), "paypal": method_view.paypal(record)}
    return {**kind, "credit_card": method_view.card(instrument)}


def _no_card() -> Node:
    names = ("token", "bin", "last_4", "card_type", "expiration_month", "expiration_year")
    return {**dict.fromkeys(names), "expired": False}


def _history(record: Record) -> Node:
    events = [
        {
            "timestamp": When(each["at"]),
            "status": each["status"],
            "amount": decimal_text(each["amount"], record["currency"]),
            "user": None,
            "transaction_source": each["source"],
        }
        for each in record["history"]
    ]
    return {"status_history": Listed("status_event", events)}


def _refunds(record: Record) -> Node:
    refunds = [ref_of(key) for key in record["refunds"]]
    of, sale = record["refunded_transaction"], record["authorized_transaction"]
    partial = [ref_of(key) for key in record["partial_settlements"]]
    return {
        "refund_id": refunds[-1] if refunds else None,
        "refund_ids": Listed("item", refunds),
        "refunded_transaction_id": None if of is None else ref_of(of),
        "partial_settlement_transaction_ids": Listed("item", partial),
        "authorized_transaction_id": None if sale is None else ref_of(sale),
    }


def ref_of(key: str) -> str:
    """Return the id in an object's key."""
    return key.split(":", 3)[3]


def disbursement_details(record: Record) -> Node:
    """Return what is known of a transaction's way to the bank."""
    paid = record["disbursement"]
    if paid is None:
        names = (
            "settlement_amount",
            "settlement_currency_iso_code",
            "settlement_currency_exchange_rate",
            "settlement_base_currency_exchange_rate",
            "funds_held",
            "success",
        )
        return {"disbursement_date": None, **dict.fromkeys(names)}
    currency = paid["currency"]
    return {
        "disbursement_date": Day(paid["date"]),
        "settlement_amount": decimal_text(paid["amount"], currency),
        "settlement_currency_iso_code": currency,
        "settlement_currency_exchange_rate": paid["rate"],
        "settlement_base_currency_exchange_rate": paid["rate"],
        "funds_held": False,
        "success": True,
    }


def find(call: MerchantCall) -> XmlReply:
    """Answer with the transaction that the path names."""
    record = call.named(TRANSACTION)
    if record.get("hidden"):
        raise NoSuchObject
    return XmlReply(200, "transaction", shown(call, record))
