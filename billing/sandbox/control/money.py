"""What happens at the provider without the engine: payments, refunds, disputes, payouts, cards."""

from typing import Any

from billing.sandbox import anomalies
from billing.sandbox.call import Call
from billing.sandbox.control.endpoints import (
    ControlEndpoints,
    Endpoint,
    Wanted,
    named,
    one_of,
    read,
)
from billing.sandbox.currencies import currency
from billing.sandbox.errors import Body, refused
from billing.sandbox.resources import (
    balance_transactions,
    charges,
    disputes,
    mandates,
    payment_intents,
    payment_methods,
    payouts,
    refunds,
)
from billing.sandbox.store import Record

_Names = tuple[str, ...]


def _make_payment_intent(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Make a payment on the provider's side, one that the engine knows nothing of."""
    offset = wanted.pop("created_offset", 0)
    if type(offset) is not int:
        raise ValueError("created_offset is a whole number of seconds")
    form = {"payment_method": "pm_card_visa", **wanted, "confirm": True, "off_session": True}
    params = payment_intents.CREATE_PARAMS.read(
        {name: _as_form(value) for name, value in form.items()}
    )
    account = control.account
    with account.store.transaction():
        call = account.call(now=account.clock.now() + offset, params=params)
        return payment_intents.create(call).body


def _as_form(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


def _move_refund(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"status": str, "failure_reason": str}, ("status",))
    status = one_of(wanted["status"], ("succeeded", "failed"), "status")
    reason = one_of(wanted.get("failure_reason", "unknown"), refunds.FAILURES, "failure_reason")
    with control.account.store.transaction():
        call = control.account.call()
        record = named(call, "refund", names[0])
        then = record.get("status", "succeeded")
        if then not in (("pending",) if status == "succeeded" else _NOT_FAILED):
            raise refused(f"Refund {names[0]} is {then}: it can't become {status}.")
        if status == "succeeded":
            refunds.succeed(call, names[0])
        else:
            refunds.fail(call, names[0], reason)
        return refunds.render(call, named(call, "refund", names[0]))


_NOT_FAILED = ("pending", "succeeded")
_DISPUTE = {"charge": str, "payment_intent": str, "amount": int, "reason": str, "inquiry": bool}


def _open_dispute(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    read(wanted, _DISPUTE)
    reason = one_of(wanted.get("reason", "fraudulent"), disputes.REASONS, "reason")
    with control.account.store.transaction():
        call = control.account.call()
        charge = _charge_of(call, wanted)
        inquiry = wanted.get("inquiry", False)
        record = disputes.open_dispute(call, charge, wanted.get("amount"), reason, inquiry=inquiry)
        return disputes.render(call, record)


def _charge_of(call: Call, wanted: Wanted) -> Record:
    if "charge" in wanted:
        return named(call, "charge", wanted["charge"])
    if "payment_intent" not in wanted:
        raise ValueError("name a charge or a payment_intent")
    intent = named(call, "payment_intent", wanted["payment_intent"])
    return named(call, "charge", intent["latest_charge"] or "")


def _decide_dispute(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"outcome": str}, ("outcome",))
    outcome = one_of(wanted["outcome"], disputes.OUTCOMES, "outcome")
    with control.account.store.transaction():
        call = control.account.call()
        record = named(call, "dispute", names[0])
        disputes.decide(call, record, outcome)
        return disputes.render(call, record)


def _pay_out(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    read(wanted, {"currency": str}, ("currency",))
    with control.account.store.transaction():
        call = control.account.call()
        return payouts.render(call, payouts.pay_out(call, currency(wanted["currency"], "currency")))


def _move_payout(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"status": str, "failure_code": str}, ("status",))
    status = one_of(wanted["status"], ("in_transit", "paid", "failed"), "status")
    code = wanted.get("failure_code", "could_not_process")
    one_of(code, tuple(payouts.FAILURES), "failure_code")
    with control.account.store.transaction():
        call = control.account.call()
        record = named(call, "payout", names[0])
        payouts.move(call, record, status, code)
        return payouts.render(call, record)


_CONVERSION = {"from": str, "to": str, "amount": int, "received": int, "fee": int}


def _convert(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Exchange what the balance holds, as somebody does in the provider's dashboard."""
    read(wanted, _CONVERSION, ("from", "to", "amount", "received"))
    sold = wanted["amount"], currency(wanted["from"], "from")
    bought = wanted["received"], currency(wanted["to"], "to")
    fee = wanted.get("fee", 0)
    if sold[1] == bought[1]:
        raise ValueError("from and to are two currencies")
    if sold[0] <= 0 or not 0 <= fee < bought[0]:
        raise ValueError("amount and received are more than 0, and the fee is less than received")
    with control.account.store.transaction():
        call = control.account.call()
        booked = balance_transactions.convert(call, sold, bought, fee)
        return {
            "object": "list",
            "data": [balance_transactions.render(call, record) for record in booked],
        }


_CARD = {"exp_month": int, "exp_year": int, "last4": str, "token": str}


def _update_card(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Update a card as the networks do by themselves."""
    read(wanted, _CARD)
    with control.account.store.transaction():
        call = control.account.call()
        record = named(call, "payment_method", names[0])
        payment_methods.update_by_network(call, record, wanted)
        return payment_methods.render(call, record)


def _revoke_mandate(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Take back the permission to charge a PayPal account, as its payer does at PayPal."""
    read(wanted, {})
    with control.account.store.transaction():
        call = control.account.call()
        method = named(call, "payment_method", names[0])
        if "mandate" not in method:
            raise refused(f"{names[0]} has no mandate.")
        mandates.revoke(call, method["mandate"])
        return mandates.render(call, call.stored("mandate", method["mandate"]))


_CHARGE = {"amount": int, "settled": int, "fee": int, "hidden": bool}


def _alter_charge(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, _CHARGE)
    with control.account.store.transaction():
        call = control.account.call()
        charge = named(call, "charge", names[0])
        anomalies.alter(call, charge, wanted)
        return charges.render(call, charge)


def _duplicate_charge(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, {"payment_intent": str})
    mode = one_of(wanted.get("payment_intent", "same"), ("same", "new"), "payment_intent")
    with control.account.store.transaction():
        call = control.account.call()
        charge = named(call, "charge", names[0])
        return charges.render(call, anomalies.duplicate(call, charge, own_intent=mode == "new"))


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "payment_intents"): _make_payment_intent,
    ("POST", "refunds/*"): _move_refund,
    ("POST", "disputes"): _open_dispute,
    ("POST", "disputes/*"): _decide_dispute,
    ("POST", "payouts"): _pay_out,
    ("POST", "payouts/*"): _move_payout,
    ("POST", "conversions"): _convert,
    ("POST", "payment_methods/*"): _update_card,
    ("POST", "payment_methods/*/revoke"): _revoke_mandate,
    ("POST", "charges/*"): _alter_charge,
    ("POST", "charges/*/duplicate"): _duplicate_charge,
}
