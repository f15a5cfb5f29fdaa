"""Producing an event of a type on demand: by the change of an object that brings it about.

Each type has a way from a customer or a payment to the change. An object that is named is used
where it stands on that way; what comes before it isn't made, and without one everything is new.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.sandbox.account import SandboxAccount
from billing.sandbox.call import Call
from billing.sandbox.control.endpoints import ControlEndpoints, Endpoint, Wanted, read
from billing.sandbox.errors import Body
from billing.sandbox.resources import (
    ROUTES,
    disputes,
    payment_intents,
    payment_methods,
    payouts,
    refunds,
)
from billing.sandbox.routing import Router
from billing.sandbox.store import Record, load

_Names = tuple[str, ...]
_ROUTER: Final = Router(ROUTES)
_MARK: Final = {"metadata": {"triggered": "yes"}}
_AMOUNT: Final = {"amount": "2000", "currency": "usd"}
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM objects"
_MADE: Final = "SELECT body FROM objects WHERE kind = 'event' AND seq > ? ORDER BY seq"


class _Desk:
    """Sends requests as a client does, inside the transaction of one trigger."""

    def __init__(self, account: SandboxAccount, named: str) -> None:
        self._account = account
        self._named = named
        self.unused = bool(named)

    def call(self) -> Call:
        return self._account.call()

    def post(self, path: str, form: Mapping[str, Any]) -> str:
        """Send a request and return the id of its object, also where a card was declined."""
        route, ids = _ROUTER.find("POST", f"/v1/{path}")
        body = route.handler(
            self._account.call(path=ids, params=route.params.read(dict(form)))
        ).body
        return str(body["error"]["payment_intent"]["id"] if "error" in body else body["id"])

    def named(self, kind: str) -> Record | None:
        """Return the object that was named, if it is of this kind."""
        record = self.call().store.find(kind, self._named) if self._named else None
        if record is not None:
            self.unused = False
        return record


# --- the objects on the way -------------------------------------------------------------------


def _customer(desk: _Desk) -> str:
    there = desk.named("customer")
    return there["id"] if there else desk.post("customers", {"name": "Trigger", **_MARK})


def _card(desk: _Desk) -> str:
    there = desk.named("payment_method")
    if there:
        return str(there["id"])
    return desk.post("payment_methods/pm_card_visa/attach", {"customer": _customer(desk)})


def _intent(desk: _Desk, **form: str) -> str:
    """An intent that isn't confirmed, unless it is the one that was named."""
    there = desk.named("payment_intent")
    return there["id"] if there else desk.post("payment_intents", {**_AMOUNT, **_MARK, **form})


def _confirmed(desk: _Desk, card: str, **form: str) -> str:
    intent = _intent(desk, **form)
    return desk.post(f"payment_intents/{intent}/confirm", {"payment_method": card})


def _authorised(desk: _Desk) -> str:
    there = desk.named("payment_intent")
    if there and there["status"] == "requires_capture":
        return str(there["id"])
    return _confirmed(desk, "pm_card_visa", capture_method="manual")


def _paid(desk: _Desk) -> str:
    """A paid intent: the one that was named, or that of the charge that was named."""
    charge = desk.named("charge")
    if charge:
        return str(charge["payment_intent"])
    there = desk.named("payment_intent")
    if there and there["status"] == "succeeded":
        return str(there["id"])
    return _succeeds(desk)


def _refund(desk: _Desk) -> str:
    there = desk.named("refund")
    return there["id"] if there else desk.post("refunds", {"payment_intent": _paid(desk), **_MARK})


def _dispute(desk: _Desk) -> Record:
    there = desk.named("dispute")
    if there:
        return there
    paid = _paid(desk)
    call = desk.call()
    charge = call.stored("charge", call.stored("payment_intent", paid)["latest_charge"])
    return disputes.open_dispute(call, charge, None, "fraudulent", inquiry=False)


def _payout(desk: _Desk) -> Record:
    there = desk.named("payout")
    if there:
        return there
    owed = max(0, -payouts.available(desk.call(), "usd"))
    _confirmed(desk, "pm_card_bypassPending", amount=str(2000 + 2 * owed))
    return payouts.pay_out(desk.call(), "usd")


# --- the changes ------------------------------------------------------------------------------


def _succeeds(desk: _Desk) -> str:
    there = desk.named("payment_intent")
    if there and there["status"] == "requires_capture":
        return desk.post(f"payment_intents/{there['id']}/capture", {})
    return _confirmed(desk, "pm_card_visa")


def _is_captured(desk: _Desk) -> None:
    desk.post(f"payment_intents/{_authorised(desk)}/capture", {})


def _expires(desk: _Desk) -> None:
    payment_intents.expire(desk.call(), _authorised(desk))


def _card_is_updated(desk: _Desk) -> None:
    card = _card(desk)
    year = desk.call().stored("payment_method", card)["exp_year"]
    desk.post(f"payment_methods/{card}", {"card": {"exp_year": str(year + 1), "exp_month": "12"}})


def _network_updates_card(desk: _Desk) -> None:
    card, call = _card(desk), desk.call()
    record = call.stored("payment_method", card)
    payment_methods.update_by_network(call, record, {"exp_year": record["exp_year"] + 1})


def _refund_fails(desk: _Desk) -> None:
    refunds.fail(desk.call(), _refund(desk))


def _is_contested(desk: _Desk) -> None:
    evidence = {"evidence": {"product_description": "Triggered"}}
    desk.post(f"disputes/{_dispute(desk)['id']}", evidence)


def _is_won(desk: _Desk) -> None:
    disputes.decide(desk.call(), _dispute(desk), "won")


def _payout_becomes(status: str) -> "Callable[[_Desk], None]":
    return lambda desk: payouts.move(desk.call(), _payout(desk), status)


def _is_declined(desk: _Desk) -> None:
    _confirmed(desk, "pm_card_chargeCustomerFail")


TRIGGERS: Final[Mapping[str, Callable[[_Desk], object]]] = {
    "charge.captured": _is_captured,
    "charge.dispute.closed": lambda desk: desk.post(f"disputes/{_dispute(desk)['id']}/close", {}),
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_reinstated": _is_won,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.updated": _is_contested,
    "charge.expired": _expires,
    "charge.failed": _is_declined,
    "charge.refund.updated": lambda desk: desk.post(f"refunds/{_refund(desk)}", _MARK),
    "charge.refunded": _refund,
    "charge.succeeded": _succeeds,
    "customer.created": _customer,
    "customer.updated": lambda desk: desk.post(f"customers/{_customer(desk)}", _MARK),
    "payment_intent.amount_capturable_updated": _authorised,
    "payment_intent.canceled": lambda desk: desk.post(
        f"payment_intents/{_intent(desk)}/cancel", {}
    ),
    "payment_intent.created": _intent,
    "payment_intent.payment_failed": _is_declined,
    "payment_intent.requires_action": lambda desk: _confirmed(
        desk, "pm_card_authenticationRequired"
    ),
    "payment_intent.succeeded": _succeeds,
    "payment_method.attached": lambda desk: desk.post(
        "payment_methods/pm_card_visa/attach", {"customer": _customer(desk)}
    ),
    "payment_method.automatically_updated": _network_updates_card,
    "payment_method.detached": lambda desk: desk.post(f"payment_methods/{_card(desk)}/detach", {}),
    "payment_method.updated": _card_is_updated,
    "payout.created": _payout,
    "payout.failed": _payout_becomes("failed"),
    "payout.paid": _payout_becomes("paid"),
    "payout.reconciliation_completed": _payout,
    "payout.updated": _payout_becomes("in_transit"),
    "refund.created": _refund,
    "refund.failed": _refund_fails,
    "refund.updated": lambda desk: desk.post(f"refunds/{_refund(desk)}", _MARK),
}
"""What the sandbox records besides needs its clock or its settings, and isn't made on demand."""


def _list(_: ControlEndpoints, __: _Names, ___: Wanted) -> Body:
    return {"types": sorted(TRIGGERS)}


def _trigger(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Produce an event, and return all that came with it, in order."""
    read(wanted, {"type": str, "object": str}, ("type",))
    kind, named = wanted["type"], wanted.get("object", "")
    if kind not in TRIGGERS:
        raise ValueError(f"no event of type {kind!r} is made; known: {', '.join(sorted(TRIGGERS))}")
    store = control.account.store
    with store.transaction():
        before = store.rows(_NEWEST)[0][0]
        desk = _Desk(control.account, named)
        TRIGGERS[kind](desk)
        if desk.unused:
            raise ValueError(f"{named} is no object that {kind} can be made of")
        made = [load(body) for (body,) in store.rows(_MADE, (before,))]
        if all(each["type"] != kind for each in made):
            raise ValueError(f"{named} is in a state in which {kind} doesn't come of it")
    return {"events": [_described(each) for each in made]}


def _described(event: Record) -> Body:
    return {"event_id": event["id"], "type": event["type"], "object_id": event["object"]["id"]}


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "triggers"): _list,
    ("POST", "triggers"): _trigger,
}
