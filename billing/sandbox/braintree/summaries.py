"""The settlement batch summary of a day, and the merchant accounts."""

import re
from collections import defaultdict

from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.braintree.searching import read_day
from billing.sandbox.braintree.xml import Listed, Node, Repeated
from billing.sandbox.store import Record


def _summary(call: MerchantCall) -> XmlReply:
    """Count what was settled in the batches of a day, by card type and merchant account."""
    given = call.params.get("settlement_batch_summary") or {}
    text = given.get("settlement_date")
    if not text:
        raise refuse("settlement_batch_summary", "settlement_date", "82301")
    date = read_day(str(text)) if re.match(r"\d", str(text)) else None
    if date is None:
        raise refuse("settlement_batch_summary", "settlement_date", "82302")
    field = given.get("group_by_custom_field")
    allowed = call.settings.custom_fields
    if field and allowed and field not in allowed:
        raise refuse("settlement_batch_summary", "group_by_custom_field", "82303")
    groups: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for each in _settled_in_batches_of(call, date):
        groups[_group(each, field)].append(each)
    rows = [_row(key, some, field) for key, some in sorted(groups.items())]
    value = {"records": Listed("record", rows)}
    return XmlReply(200, "settlement_batch_summary", value)


def _settled_in_batches_of(call: MerchantCall, date: str) -> list[Record]:
    condition = ("json_extract(body, '$.batch') LIKE ?", f"{date}%")
    return [each for each in call.select(TRANSACTION, [condition]) if each["status"] == "settled"]


def _group(record: Record, field: str | None) -> tuple[str, ...]:
    brand = record["instrument"].get("card_type") or "PayPal"
    own = str(record["custom_fields"].get(field, "")) if field else ""
    return brand, record["merchant_account"], record["type"], record["currency"], own


def _row(key: tuple[str, ...], records: list[Record], field: str | None) -> Node:
    brand, account, kind, currency, own = key
    row: Node = {
        "card_type": brand,
        "merchant_account_id": account,
        "kind": kind,
        "count": str(len(records)),
        "amount_settled": decimal_text(sum(each["amount"] for each in records), currency),
    }
    return {**row, field: own} if field else row


def _account_view(call: MerchantCall, name: str) -> Node:
    found = call.settings.account(name)
    if found is None:
        raise NoSuchObject
    default = call.settings.account(None)
    return {
        "id": name,
        "status": "active",
        "currency_iso_code": found[1].currency,
        "default": default is not None and default[0] == name,
        "sub_merchant_account": False,
    }


def _account(call: MerchantCall) -> XmlReply:
    return XmlReply(200, "merchant_account", _account_view(call, call.path[0]))


def _accounts(call: MerchantCall) -> XmlReply:
    names = list(call.settings.merchant_accounts)
    value = {
        "current_page_number": 1,
        "page_size": len(names),
        "total_items": len(names),
        "merchant_account": Repeated([_account_view(call, name) for name in names]),
    }
    return XmlReply(200, "merchant_accounts", value)


ROUTES = (
    XmlRoute("POST", "settlement_batch_summary", _summary, reads=True),
    XmlRoute("GET", "merchant_accounts", _accounts),
    XmlRoute("GET", "merchant_accounts/*", _account),
)
