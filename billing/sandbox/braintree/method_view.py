"""Payment methods as they are shown, in the vault and inside transactions."""

from typing import Any

from billing.sandbox.braintree import codes
from billing.sandbox.braintree.call import MerchantCall, new_ref
from billing.sandbox.braintree.instruments import of_method
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.people import address_view
from billing.sandbox.braintree.xml import Listed, Node, When
from billing.sandbox.store import Record

_INDICATORS = (
    "business",
    "commercial",
    "consumer",
    "corporate",
    "debit",
    "durbin_regulated",
    "healthcare",
    "payroll",
    "prepaid",
    "prepaid_reloadable",
    "purchase",
)
_ISSUER = ("country_of_issuance", "issuing_bank", "product_id")
_IMAGES = "https://assets.braintreegateway.com/payment_method_logo"


def shown(call: MerchantCall, record: Record) -> Node:
    """Return a vaulted payment method."""
    instrument = of_method(call, record)
    common = {
        "token": record["ref"],
        "customer_id": record["customer_ref"],
        "global_id": record["id"],
        "default": record["default"],
        "created_at": When(record["created"]),
        "updated_at": When(record["updated"]),
        "subscriptions": Listed("subscription", []),
    }
    if instrument["kind"] == "paypal_account":
        return {
            **common,
            "email": instrument["email"],
            "billing_agreement_id": record["billing_agreement_id"],
            "payer_id": record["payer_id"],
            "image_url": f"{_IMAGES}/paypal.png",
            "revoked_at": When(record["revoked_at"]),
            "is_channel_initiated": None,
            "payer_info": None,
            "limited_use_order_id": None,
            "funding_source_description": None,
        }
    known = card(instrument)
    del known["bin_extended"]  # shown with transactions only
    return {
        **known,
        **common,
        "billing_address": address_view(record["billing"]),
        "verifications": Listed("verification", _verifications(call, record)),
    }


def _verifications(call: MerchantCall, record: Record) -> list[Node]:
    if record.get("verified_at") is None:
        return []
    good = {"status": "verified", "code": codes.APPROVED, "reason": None}
    return [verification(call, record["instrument"], good)]


def card(instrument: Record) -> Node:
    """Return a card, in the vault or not."""
    return {
        "token": instrument.get("token"),
        "bin": instrument["bin"],
        "bin_extended": instrument["bin_extended"],
        "last_4": instrument["last4"],
        "card_type": instrument["card_type"],
        "expiration_month": instrument["exp_month"],
        "expiration_year": instrument["exp_year"],
        "expired": instrument["expired"],
        "customer_location": "US",
        "cardholder_name": instrument["cardholder_name"],
        "image_url": f"{_IMAGES}/{instrument['card_type'].lower().replace(' ', '_')}.png",
        "unique_number_identifier": instrument["unique"],
        "is_network_tokenized": False,
        "account_type": None,
        "venmo_sdk": False,
        **(bin_data(instrument) or {}),
    }


def bin_data(instrument: Record) -> Node | None:
    """Return what a card's first digits tell of it."""
    if instrument["kind"] != "credit_card":
        return None
    known = instrument["indicators"]
    return {
        **{name: known.get(name, "Unknown") for name in _INDICATORS},
        **{name: known.get(name, "Unknown") for name in _ISSUER},
    }


def paypal(transaction: Record) -> Node:
    """Return the PayPal side of a transaction."""
    instrument, ref = transaction["instrument"], transaction["ref"].upper()
    refund = transaction["type"] == "credit"
    return {
        "token": instrument.get("token"),
        "payer_email": instrument["email"],
        "payer_id": instrument.get("payer_id") or f"PAYER{ref}",
        "payer_first_name": "Jane",
        "payer_last_name": "Doe",
        "payer_status": "VERIFIED",
        "seller_protection_status": "ELIGIBLE",
        "payment_id": f"PAY-{ref}",
        "authorization_id": f"AUTH-{ref}",
        "capture_id": f"CAPTURE-{ref}",
        "refund_id": f"REFUND-{ref}" if refund else None,
        "billing_agreement_id": instrument.get("billing_agreement_id"),
        "image_url": f"{_IMAGES}/paypal.png",
        "debug_id": f"DEBUG{ref}",
        **_fee(transaction),
        **(transaction.get("paypal_options") or {}),
    }


def _fee(transaction: Record) -> Node:
    """Return PayPal's fee for a transaction, which is known when it has settled."""
    if transaction.get("fee") is None:
        return {"transaction_fee_amount": None, "transaction_fee_currency_iso_code": None}
    currency = str(transaction["planned"]["currency"])
    return {
        "transaction_fee_amount": decimal_text(int(transaction["fee"]), currency),
        "transaction_fee_currency_iso_code": currency,
    }


def verification(call: MerchantCall, instrument: Record, failed: Record) -> Node:
    """Return the verification of a card, with what came of it."""
    code = str(failed["code"])
    made: dict[str, Any] = {
        "id": new_ref(8),
        "status": failed["status"],
        "gateway_rejection_reason": failed["reason"],
        "processor_response_code": code,
        "processor_response_text": codes.response_text(code),
        "processor_response_type": codes.response_type(code),
        "cvv_response_code": instrument.get("cvv", "I"),
        "avs_error_response_code": None,
        "avs_postal_code_response_code": "I",
        "avs_street_address_response_code": "I",
        "amount": "0.00",
        "currency_iso_code": "USD",
        "merchant_account_id": (call.settings.account(None) or ("", None))[0],
        "network_response_code": None,
        "network_response_text": None,
        "graphql_id": new_ref(8),
        "created_at": When(call.now),
        "updated_at": When(call.now),
        "credit_card": card(instrument),
        "billing": {},
    }
    return made
