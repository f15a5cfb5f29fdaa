"""The Braintree side: settings, what happens to its objects, webhooks, statistics.

Every request may name a `merchant`; it may be left out while there is one merchant only.
"""

from dataclasses import asdict
from typing import Any

from billing.sandbox.braintree import anomalies, credentials, history, notifications
from billing.sandbox.braintree.call import (
    DISPUTE,
    METHOD,
    TRANSACTION,
    MerchantCall,
    call_for,
    new_ref,
)
from billing.sandbox.braintree.challenge import challenged
from billing.sandbox.braintree.dispute_opening import KINDS, REASONS, open_dispute, step, takes
from billing.sandbox.braintree.money import decimal_text, minor_units
from billing.sandbox.braintree.settings import change_settings, load_settings
from billing.sandbox.control.endpoints import ControlEndpoints, Endpoint, Wanted, one_of, read
from billing.sandbox.errors import Body
from billing.sandbox.store import Record
from billing.sandbox.webhooks.outbox import family_of
from billing.sandbox.webhooks.sender import check_url

_Names = tuple[str, ...]
_WEBHOOK = {
    "merchant": str,
    "url": str,
    "kinds": list,
    "public_key": str,
    "private_key": str,
    "disabled": bool,
}
_DISPUTE = {"merchant": str, "transaction": str, "kind": str, "reason": str, "amount": str}
_OUTCOMES = ("won", "lost", "under_review", "disputed", "expired", "auto_accepted")
_CAPTURED = """
SELECT json_extract(body, '$.currency'), count(*), sum(json_extract(body, '$.amount'))
FROM objects WHERE kind = 'bt_transaction' AND json_extract(body, '$.type') = ?
  AND json_extract(body, '$.status') IN ('submitted_for_settlement', 'settling', 'settled')
GROUP BY 1
"""
_DISBURSED = """
SELECT json_extract(body, '$.currency'), sum(json_extract(body, '$.amount'))
FROM objects WHERE kind = 'bt_disbursement' AND json_extract(body, '$.done') GROUP BY 1
"""
_ACCOUNTS = """
SELECT DISTINCT subtype, json_extract(body, '$.merchant_account')
FROM objects WHERE kind = 'bt_transaction'
"""
_REPEATED = """
SELECT count(*) FROM (
  SELECT count(*) AS n FROM objects WHERE kind = 'bt_transaction'
    AND json_extract(body, '$.type') = 'sale' AND json_extract(body, '$.order_id') IS NOT NULL
    AND json_extract(body, '$.status') IN ('submitted_for_settlement', 'settling', 'settled')
  GROUP BY subtype, json_extract(body, '$.order_id'))
WHERE n > 1
"""


def _call(control: ControlEndpoints, wanted: Wanted) -> MerchantCall:
    """Return the call of the merchant that a request means. Raises: ValueError."""
    merchant = wanted.get("merchant")
    if merchant is None:
        rows = control.account.store.rows(
            "SELECT DISTINCT subtype FROM objects WHERE kind = 'bt_credentials' LIMIT 2"
        )
        if len(rows) != 1:
            raise ValueError("name the merchant: there is none yet, or more than one")
        merchant = rows[0][0]
    return call_for(control.account.call(), str(merchant))


def _named(call: MerchantCall, kind: str, ref: str) -> Record:
    record = call.find(kind, ref)
    if record is None:
        raise ValueError(f"no {kind} {ref} of merchant {call.merchant}")
    return record


def _read_settings(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    with control.account.store.reading():
        return asdict(load_settings(control.account.store, ""))


def _change_settings(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    changes = dict(wanted)
    merchant = str(changes.pop("merchant", ""))
    store = control.account.store
    with store.transaction():
        made = change_settings(store, merchant, changes)
        for owner, account in store.rows(_ACCOUNTS):
            if load_settings(store, owner).account(account) is None:
                raise ValueError(f"merchant account {account} of {owner} has transactions")
    return asdict(made)


def _open_dispute(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    read(wanted, _DISPUTE, ("transaction",))
    kind = one_of(wanted.get("kind", "chargeback"), KINDS, "kind")
    reason = wanted.get("reason")
    if reason is not None:
        one_of(reason, tuple(REASONS), "reason")
    with control.account.store.transaction():
        call = _call(control, wanted)
        sale = _named(call, TRANSACTION, wanted["transaction"])
        if sale["type"] != "sale" or sale["status"] != history.SETTLED:
            raise ValueError("a settled sale can be disputed")
        amount = _dispute_amount(sale, wanted.get("amount"))
        return _described(open_dispute(call, sale, kind=kind, reason=reason, amount=amount))


def _dispute_amount(sale: Record, text: str | None) -> int | None:
    amount = None if text is None else minor_units(text, sale["currency"])
    if text is not None and (amount is None or not 0 < amount <= sale["amount"]):
        raise ValueError("amount is a decimal text, no more than the sale's")
    return amount


def _described(record: Record) -> Body:
    shown = ("kind", "status", "reason", "history")
    amount = decimal_text(record["amount"], record["currency"])
    return {"id": record["ref"], "amount": amount, **{name: record[name] for name in shown}}


def _decide_dispute(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"merchant": str, "status": str}, ("status",))
    status = one_of(wanted["status"], _OUTCOMES, "status")
    with control.account.store.transaction():
        call = _call(control, wanted)
        record = _named(call, DISPUTE, names[0])
        if record["status"] in ("won", "lost", "accepted", "auto_accepted", "expired"):
            raise ValueError(f"the dispute is {record['status']} already")
        step(call, record, status, moves=status == "won" and takes(record))
        return _described(record)


def _change_method(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Revoke a PayPal account's agreement, or have it and cards behave as another nonce's."""
    read(wanted, {"merchant": str, "revoked": bool, "nonce": str})
    with control.account.store.transaction():
        call = _call(control, wanted)
        record = _named(call, METHOD, names[0])
        if wanted.get("nonce"):
            record["instrument"]["nonce"] = wanted["nonce"]
            record["uses"] = 0
        if "revoked" in wanted:
            record["revoked_at"] = call.now if wanted["revoked"] else None
        call.update(record)
        if wanted.get("revoked"):
            notifications.notify(call, "payment_method_revoked_by_customer", record)
        return {"token": record["ref"], "revoked_at": record["revoked_at"], "uses": record["uses"]}


def _change_transaction(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Have the provider's books differ: another amount, or nothing to be seen."""
    types = {"merchant": str, "amount": str, "settlement_amount": str, "hidden": bool}
    read(wanted, types)
    with control.account.store.transaction():
        call = _call(control, wanted)
        record = _named(call, TRANSACTION, names[0])
        if "amount" in wanted:
            anomalies.alter_amount(call, record, _amount(wanted["amount"], record["currency"]))
        if "settlement_amount" in wanted:
            currency = (record.get("planned") or record)["currency"]
            anomalies.alter_settled(call, record, _amount(wanted["settlement_amount"], currency))
        record["hidden"] = wanted.get("hidden", record.get("hidden", False))
        call.update(record)
        return _transaction(record)


def _charge_again(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"merchant": str})
    with control.account.store.transaction():
        call = _call(control, wanted)
        sale = _named(call, TRANSACTION, names[0])
        return _transaction(anomalies.charge_again(call, sale))


def _amount(text: str, currency: str) -> int:
    amount = minor_units(text, currency)
    if amount is None or amount <= 0:
        raise ValueError(f"{text!r} is no amount of {currency}")
    return amount


def _transaction(record: Record) -> Body:
    amount = decimal_text(record["amount"], record["currency"])
    hidden = record.get("hidden", False)
    return {"id": record["ref"], "status": record["status"], "amount": amount, "hidden": hidden}


def _webhooks(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    store = control.account.store
    with store.reading():
        endpoints = store.select("bt_webhook", oldest_first=True)
        counts = control.account.outbox.counts()
    return {"endpoints": [_endpoint(each) for each in endpoints], "deliveries": counts}


def _endpoint(record: Record) -> Body:
    shown = ("id", "merchant", "url", "disabled")
    return {**{name: record[name] for name in shown}, "kinds": record["enabled_events"]}


def _add_webhook(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Add an endpoint, or change the merchant's one with this URL."""
    read(wanted, _WEBHOOK, ("url",))
    check_url(wanted["url"])
    for kind in wanted.get("kinds", ["*"]):
        one_of(kind, ("*", *notifications.KINDS), "kinds")
    with control.account.store.transaction():
        call = _call(control, wanted)
        same = [("json_extract(body, '$.url') = ?", wanted["url"])]
        found = call.select(notifications.ENDPOINT, same)
        record = found[0] if found else {"url": wanted["url"]}
        record |= {
            "family": family_of(call.merchant),
            "enabled_events": wanted.get("kinds", ["*"]),
            "disabled": wanted.get("disabled", False),
            "keys": _keys(call, wanted),
        }
        if found:
            call.update(record)
        else:
            call.insert(notifications.ENDPOINT, record, ref=new_ref(8))
        control.account.outbox.endpoints_changed()
        return _endpoint(record)


def _change_webhook(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Change where an endpoint is, what it is told, and whether it is told anything."""
    read(wanted, {"merchant": str, "url": str, "kinds": list, "disabled": bool})
    for kind in wanted.get("kinds", ()):
        one_of(kind, ("*", *notifications.KINDS), "kinds")
    with control.account.store.transaction():
        call = _call(control, wanted)
        found = [each for each in call.select(notifications.ENDPOINT) if each["id"] == names[0]]
        if not found:
            raise ValueError(f"no webhook endpoint {names[0]}")
        record = found[0]
        check_url(str(wanted.get("url", record["url"])))
        for name, key in (("url", "url"), ("kinds", "enabled_events"), ("disabled", "disabled")):
            record[key] = wanted.get(name, record[key])
        call.update(record)
        control.account.outbox.endpoints_changed()
        return _endpoint(record)


def _keys(call: MerchantCall, wanted: Wanted) -> list[list[str]]:
    """Return the keys that are named, or those that the merchant was first seen with."""
    if "public_key" in wanted and "private_key" in wanted:
        return [[wanted["public_key"], wanted["private_key"]]]
    known = credentials.first_of(call)
    if known is None:
        raise ValueError("send public_key and private_key: the merchant sent no request yet")
    return [[known["public"], known["private"]]]


def _check(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Send the merchant's endpoints a `check`."""
    read(wanted, {"merchant": str})
    with control.account.store.transaction():
        notifications.notify(_call(control, wanted), "check", {})
    return {"sent": True}


def _challenge(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Ask an endpoint to prove that it has the keys, as Braintree does when one is added."""
    read(wanted, {"merchant": str, "url": str}, ("url",))
    with control.account.store.reading():
        same = [("json_extract(body, '$.url') = ?", wanted["url"])]
        found = _call(control, wanted).select(notifications.ENDPOINT, same)
    if not found:
        raise ValueError(f"no webhook endpoint {wanted['url']}")
    return {"verified": challenged(found[0])}


def _notifications(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """List what was told or will be, the oldest first."""
    with control.account.store.reading():
        call = _call(control, wanted)
        found = call.select(notifications.KIND, oldest_first=True)
        return {"notifications": [_notification(call, each) for each in found]}


def _notification(call: MerchantCall, record: Record) -> dict[str, Any]:
    return {
        "id": record["id"],
        "kind": record["kind"],
        "subject": record["object"].get("ref"),
        "amount": _amount_of(record["object"]),
        "created": record["created"],
        "undelivered": call.outbox.pending(record["id"]),
    }


def _amount_of(subject: Record) -> str | None:
    amount, currency = subject.get("amount"), subject.get("currency")
    return None if amount is None or currency is None else decimal_text(amount, currency)


def _stats(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    store = control.account.store
    with store.reading():
        sales = store.rows(_CAPTURED, ("sale",))
        credits = store.rows(_CAPTURED, ("credit",))
        disbursed = store.rows(_DISBURSED)
        repeated = store.rows(_REPEATED)[0][0]
    return {
        "captures": sum(row[1] for row in sales),
        "captured_amount": {currency: amount for currency, _, amount in sales},
        "credits": sum(row[1] for row in credits),
        "credited_amount": {currency: amount for currency, _, amount in credits},
        "disbursed_amount": dict(disbursed),
        "orders_captured_more_than_once": repeated,
    }


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "braintree/settings"): _read_settings,
    ("POST", "braintree/settings"): _change_settings,
    ("POST", "braintree/disputes"): _open_dispute,
    ("POST", "braintree/disputes/*"): _decide_dispute,
    ("POST", "braintree/payment_methods/*"): _change_method,
    ("POST", "braintree/transactions/*"): _change_transaction,
    ("POST", "braintree/transactions/*/duplicate"): _charge_again,
    ("GET", "braintree/webhooks"): _webhooks,
    ("POST", "braintree/webhooks"): _add_webhook,
    ("POST", "braintree/webhooks/check"): _check,
    ("POST", "braintree/webhooks/challenge"): _challenge,
    ("POST", "braintree/webhooks/*"): _change_webhook,
    ("GET", "braintree/notifications"): _notifications,
    ("GET", "braintree/stats"): _stats,
}
