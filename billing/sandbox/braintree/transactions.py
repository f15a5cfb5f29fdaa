"""Transactions: sales and credits."""

from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree import codes
from billing.sandbox.braintree.call import CUSTOMER, METHOD, TRANSACTION, MerchantCall, new_ref
from billing.sandbox.braintree.cards import cvv_answer
from billing.sandbox.braintree.customers import make_customer
from billing.sandbox.braintree.details import check_details
from billing.sandbox.braintree.dispute_opening import open_dispute
from billing.sandbox.braintree.history import AUTHORIZED, SUBMITTED, UNSUCCESSFUL, move
from billing.sandbox.braintree.instruments import (
    OF_TRANSACTION,
    by_nonce,
    by_number,
    of_method,
    vaultable,
)
from billing.sandbox.braintree.methods import of_customer, vault
from billing.sandbox.braintree.money import minor_units
from billing.sandbox.braintree.outcomes import Outcome, decide
from billing.sandbox.braintree.people import PERSON, address, custom_fields, person
from billing.sandbox.braintree.replies import XmlReply, refuse
from billing.sandbox.braintree.settings import MerchantAccount
from billing.sandbox.braintree.settling import submit
from billing.sandbox.braintree.transaction_view import reply_about
from billing.sandbox.store import Record

AMOUNT_MAX = 10**10
# Kept as they were sent, and shown again.
PASSED_ON = (
    "channel",
    "purchase_order_number",
    "tax_amount",
    "tax_exempt",
    "discount_amount",
    "shipping_amount",
    "shipping_tax_amount",
    "ships_from_postal_code",
    "surcharge_amount",
    "product_sku",
    "exchange_rate_quote_id",
    "foreign_retailer",
)


def create(call: MerchantCall) -> XmlReply:
    """Make a sale or a credit out of a request. Raises: RefusedRequest."""
    given = call.params.get("transaction") or {}
    kind = given.get("type")
    if kind not in ("sale", "credit"):
        raise refuse("transaction", "type", "91523" if kind else "91524")
    found = call.settings.account(given.get("merchant_account_id"))
    if found is None:
        raise refuse("transaction", "merchant_account_id", "91513")
    name, account = found
    amount = read_amount(given.get("amount"), account.currency)
    record = _drafted(call, given, kind, name, account, amount)
    check_details(given)
    _name_means(call, record, given)
    _name_addresses(call, record, given)
    if (given.get("options") or {}).get("skip_cvv") is True:
        record["instrument"]["cvv"] = "B"
    _decided(call, record, given)
    return reply_about(call, record, status=201)


def read_amount(text: Any, currency: str) -> int:
    """Return an amount in minor units. Raises: RefusedRequest."""
    if text is None:
        raise refuse("transaction", "amount", "81502")
    amount = minor_units(str(text), currency)
    if amount is None:
        raise refuse("transaction", "amount", "81503")
    if amount <= 0:
        raise refuse("transaction", "amount", "81501" if amount else "81531")
    if amount > AMOUNT_MAX:
        raise refuse("transaction", "amount", "81528")
    return amount


def _drafted(
    call: MerchantCall,
    given: Mapping[str, Any],
    kind: str,
    account_name: str,
    account: MerchantAccount,
    amount: int,
) -> Record:
    billing, shipping = given.get("billing"), given.get("shipping")
    postal, street = _avs(billing if isinstance(billing, dict) else {})
    if (given.get("options") or {}).get("skip_avs") is True:
        postal = street = "B"
    return {
        "type": kind,
        "status": None,
        "amount": amount,
        "currency": account.currency,
        "merchant_account": account_name,
        "order_id": given.get("order_id"),
        "custom_fields": custom_fields(call, given.get("custom_fields"), "transaction", "91526"),
        "descriptor": given.get("descriptor") or {},
        "passed_on": {name: given[name] for name in PASSED_ON if given.get(name) is not None},
        "line_items": given.get("line_items") or [],
        "recurring": given.get("transaction_source") in ("recurring", "recurring_first")
        or given.get("recurring") is True,
        "billing": address(billing) if isinstance(billing, dict) else {},
        "shipping": address(shipping) if isinstance(shipping, dict) else {},
        "avs_postal": postal,
        "avs_street": street,
        "partial_allowed": given.get("accept_partial_authorization") is True,
        "customer": None,
        "customer_ref": None,
        "customer_details": person(given.get("customer") or {}),
        "method": None,
        "history": [],
        "refunds": [],
        "refunded": 0,
        "refunded_transaction": None,
        "authorized_transaction": None,
        "partial_settlements": [],
        "disputes": [],
        "code": None,
        "reason": None,
        "settlement_code": None,
        "batch": None,
        "disbursed_on": None,
        "disbursement": None,
        "expires_at": None,
        "paypal_options": _paypal_options(given),
    }


def _avs(billing: Mapping[str, Any]) -> tuple[str, str]:
    """Return the word on postal code and street: the documented test values."""
    postal = billing.get("postal_code")
    street = str(billing.get("street_address") or "").split(" ")[0]
    on_postal = "I" if not postal else {"20000": "N", "20001": "U"}.get(str(postal), "M")
    return on_postal, "I" if not street else {"200": "N", "201": "U"}.get(street, "M")


def _paypal_options(given: Mapping[str, Any]) -> Record:
    options = given.get("options") or {}
    sent = [given.get("paypal_account") or {}, options, options.get("paypal") or {}]
    names = ("payee_email", "payee_id", "custom_field", "description")
    return {name: each[name] for each in sent for name in names if each.get(name) is not None}


def _name_means(call: MerchantCall, record: Record, given: Mapping[str, Any]) -> None:
    """Set who pays and with what. Raises: RefusedRequest."""
    customer = _customer_of(call, given)
    sent = given.get("credit_card")
    card: dict[str, Any] = sent if isinstance(sent, dict) else {}
    if given.get("payment_method_token"):
        _use_token(call, record, given, card, customer)
    elif given.get("payment_method_nonce"):
        nonce = str(given["payment_method_nonce"])
        _use(call, record, by_nonce(call, nonce, "transaction", OF_TRANSACTION), customer)
    elif card:
        _use(call, record, by_number(call, card, "transaction.credit_card"), customer)
    elif customer is not None:
        _use_method(call, record, _default_of(call, customer))
    else:
        raise refuse("transaction", "base", "91508")


def _customer_of(call: MerchantCall, given: Mapping[str, Any]) -> Record | None:
    if not given.get("customer_id"):
        return None
    customer = call.find(CUSTOMER, str(given["customer_id"]))
    if customer is None:
        raise refuse("transaction", "customer_id", "91510")
    return customer


def _use_token(
    call: MerchantCall,
    record: Record,
    given: Mapping[str, Any],
    card: dict[str, Any],
    customer: Record | None,
) -> None:
    """Take a vaulted payment method; a security code may come with it, and nothing else."""
    if set(card) - {"cvv"}:
        raise refuse("transaction", "base", "91515")
    _use_method(call, record, _method_of(call, str(given["payment_method_token"]), customer))
    if card.get("cvv"):
        record["instrument"]["cvv"] = cvv_answer(card["cvv"])


def _name_addresses(call: MerchantCall, record: Record, given: Mapping[str, Any]) -> None:
    """Take the customer's addresses that the request names by id. Raises: RefusedRequest."""
    for name, code in (("billing", "91702"), ("shipping", "91581")):
        chosen = given.get(f"{name}_address_id")
        if not chosen:
            continue
        customer = None if record["customer"] is None else call.stored(CUSTOMER, record["customer"])
        known = [] if customer is None else customer["addresses"]
        found = [each for each in known if each["id"] == chosen]
        if not found:
            raise refuse("transaction", f"{name}_address_id", code)
        record[name] = dict(found[0])


def _method_of(call: MerchantCall, token: str, customer: Record | None) -> Record:
    method = call.find(METHOD, token)
    if method is None:
        raise refuse("transaction", "payment_method_token", "91518")
    if customer is not None and method["customer"] != customer["id"]:
        raise refuse("transaction", "base", "91516")
    return method


def _default_of(call: MerchantCall, customer: Record) -> Record:
    chosen = [each for each in of_customer(call, customer) if each["default"]]
    if not chosen:
        raise refuse("transaction", "customer_id", "91511")
    return chosen[0]


def _use_method(call: MerchantCall, record: Record, method: Record) -> None:
    record["method"] = method["id"]
    record["billing"] = record["billing"] or method["billing"] or {}
    record["instrument"] = of_method(call, method) | {
        "payer_id": method["payer_id"],
        "billing_agreement_id": method["billing_agreement_id"],
    }
    _set_customer(record, call.stored(CUSTOMER, method["customer"]))


def _use(call: MerchantCall, record: Record, instrument: Record, customer: Record | None) -> None:
    token = instrument.get("token")
    method = None if token is None else call.find(METHOD, token)
    if method is not None:
        _use_method(call, record, method)
        return
    record["instrument"] = instrument
    if customer is not None:
        _set_customer(record, customer)


def _set_customer(record: Record, customer: Record) -> None:
    record["customer"], record["customer_ref"] = customer["id"], customer["ref"]
    record["customer_details"] = {name: customer[name] for name in (*PERSON, "international_phone")}


def _decided(call: MerchantCall, record: Record, given: Mapping[str, Any]) -> None:
    """Ask the processor, keep the transaction, and do what was asked for after a success."""
    options = given.get("options") or {}
    if record["type"] == "sale":
        outcome = decide(call, record, keyed=bool(given.get("api_request_key")))
    else:
        outcome = Outcome(SUBMITTED, codes.PROCESSED)
    good = outcome.status not in UNSUCCESSFUL
    if options.get("store_in_vault") or (good and options.get("store_in_vault_on_success")):
        _store_in_vault(call, record, given)
    begin(call, record, outcome)
    if outcome.status == AUTHORIZED and options.get("submit_for_settlement") is True:
        submit(call, record)
    elif outcome.status == SUBMITTED:
        submit(call, record, again=True)
    if good and record["instrument"].get("dispute_at_once"):
        open_dispute(call, record)


def begin(call: MerchantCall, record: Record, outcome: Outcome) -> None:
    """Keep a new transaction with its first status."""
    record["code"], record["reason"] = outcome.code, outcome.reason
    record["advice"] = outcome.advice
    record["settlement_wanted"] = outcome.settlement
    record["authorization_code"] = new_ref(6).upper() if outcome.status == AUTHORIZED else None
    record["network_transaction_id"] = f"0{int(new_ref(8), 36) % 10**14:014d}"
    call.insert(TRANSACTION, record, ref=new_ref(8), parent=record["refunded_transaction"])
    move(call, record, outcome.status)
    if outcome.status == AUTHORIZED:
        record["expires_at"] = call.now + call.settings.authorization_seconds
        call.store.remind(record["expires_at"], "bt.expire", record["id"])
        call.update(record)


def _store_in_vault(call: MerchantCall, record: Record, given: Mapping[str, Any]) -> None:
    if record["method"] is not None or not vaultable(record["instrument"]):
        return
    if record["customer"] is None:
        customer = make_customer(call, given.get("customer") or {}, "transaction.customer")
        _set_customer(record, customer)
    customer = call.stored(CUSTOMER, record["customer"])
    card = given.get("credit_card")
    details = dict(card) if isinstance(card, dict) else {}
    if (given.get("options") or {}).get("add_billing_address_to_payment_method"):
        details["billing_address"] = given.get("billing")
    method = vault(call, customer, record["instrument"], details, "transaction.credit_card")
    record["method"] = method["id"]
    record["instrument"] = {**record["instrument"], "token": method["ref"]}
