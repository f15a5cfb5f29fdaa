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
    mandates,
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


class _Client:
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


def _customer(client: _Client) -> str:
    there = client.named("customer")
    return there["id"] if there else client.post("customers", {"name": "Trigger", **_MARK})


def _card(client: _Client) -> str:
    there = client.named("payment_method")
    if there:
        return str(there["id"])
    return client.post("payment_methods/pm_card_visa/attach", {"customer": _customer(client)})


def _mandate(client: _Client) -> str:
    """The mandate of a PayPal account; a card that is named has none."""
    there = client.named("mandate")
    if there:
        return str(there["id"])
    wallet = client.named("payment_method")
    if wallet is None:
        customer = {"customer": _customer(client)}
        made = client.post("payment_methods/pm_sbx_paypal/attach", customer)
        wallet = client.call().stored("payment_method", made)
    return str(wallet.get("mandate", ""))


def _intent(client: _Client, **form: str) -> str:
    """An intent that isn't confirmed, unless it is the one that was named."""
    there = client.named("payment_intent")
    return there["id"] if there else client.post("payment_intents", {**_AMOUNT, **_MARK, **form})


def _confirmed(client: _Client, card: str, **form: str) -> str:
    intent = _intent(client, **form)
    return client.post(f"payment_intents/{intent}/confirm", {"payment_method": card})


def _authorised(client: _Client) -> str:
    there = client.named("payment_intent")
    if there and there["status"] == "requires_capture":
        return str(there["id"])
    return _confirmed(client, "pm_card_visa", capture_method="manual")


def _paid(client: _Client) -> str:
    """A paid intent: the one that was named, or that of the charge that was named."""
    charge = client.named("charge")
    if charge:
        return str(charge["payment_intent"])
    there = client.named("payment_intent")
    if there and there["status"] == "succeeded":
        return str(there["id"])
    return _succeeds(client)


def _refund(client: _Client) -> str:
    there = client.named("refund")
    return (
        there["id"] if there else client.post("refunds", {"payment_intent": _paid(client), **_MARK})
    )


def _dispute(client: _Client) -> Record:
    there = client.named("dispute")
    if there:
        return there
    paid = _paid(client)
    call = client.call()
    charge = call.stored("charge", call.stored("payment_intent", paid)["latest_charge"])
    return disputes.open_dispute(call, charge, None, "fraudulent", inquiry=False)


def _payout(client: _Client) -> Record:
    there = client.named("payout")
    if there:
        return there
    owed = max(0, -payouts.available(client.call(), "usd"))
    _confirmed(client, "pm_card_bypassPending", amount=str(2000 + 2 * owed))
    return payouts.pay_out(client.call(), "usd")


# --- the changes ------------------------------------------------------------------------------


def _succeeds(client: _Client) -> str:
    there = client.named("payment_intent")
    if there and there["status"] == "requires_capture":
        return client.post(f"payment_intents/{there['id']}/capture", {})
    return _confirmed(client, "pm_card_visa")


def _is_captured(client: _Client) -> None:
    client.post(f"payment_intents/{_authorised(client)}/capture", {})


def _expires(client: _Client) -> None:
    payment_intents.expire(client.call(), _authorised(client))


def _card_is_updated(client: _Client) -> None:
    card = _card(client)
    year = client.call().stored("payment_method", card)["exp_year"]
    client.post(f"payment_methods/{card}", {"card": {"exp_year": str(year + 1), "exp_month": "12"}})


def _network_updates_card(client: _Client) -> None:
    card, call = _card(client), client.call()
    record = call.stored("payment_method", card)
    payment_methods.update_by_network(call, record, {"exp_year": record["exp_year"] + 1})


def _mandate_ends(client: _Client) -> None:
    mandate = _mandate(client)
    if mandate:
        mandates.revoke(client.call(), mandate)


def _refund_fails(client: _Client) -> None:
    refunds.fail(client.call(), _refund(client))


def _is_contested(client: _Client) -> None:
    evidence = {"evidence": {"product_description": "Triggered"}}
    client.post(f"disputes/{_dispute(client)['id']}", evidence)


def _is_won(client: _Client) -> None:
    disputes.decide(client.call(), _dispute(client), "won")


def _payout_becomes(status: str) -> "Callable[[_Client], None]":
    return lambda client: payouts.move(client.call(), _payout(client), status)


def _is_declined(client: _Client) -> None:
    _confirmed(client, "pm_card_chargeCustomerFail")


TRIGGERS: Final[Mapping[str, Callable[[_Client], object]]] = {
    "charge.captured": _is_captured,
    "charge.dispute.closed": lambda client: client.post(
        f"disputes/{_dispute(client)['id']}/close", {}
    ),
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_reinstated": _is_won,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.updated": _is_contested,
    "charge.expired": _expires,
    "charge.failed": _is_declined,
    "charge.refund.updated": lambda client: client.post(f"refunds/{_refund(client)}", _MARK),
    "charge.refunded": _refund,
    "charge.succeeded": _succeeds,
    "customer.created": _customer,
    "customer.updated": lambda client: client.post(f"customers/{_customer(client)}", _MARK),
    "mandate.updated": _mandate_ends,
    "payment_intent.amount_capturable_updated": _authorised,
    "payment_intent.canceled": lambda client: client.post(
        f"payment_intents/{_intent(client)}/cancel", {}
    ),
    "payment_intent.created": _intent,
    "payment_intent.payment_failed": _is_declined,
    "payment_intent.requires_action": lambda client: _confirmed(
        client, "pm_card_authenticationRequired"
    ),
    "payment_intent.succeeded": _succeeds,
    "payment_method.attached": lambda client: client.post(
        "payment_methods/pm_card_visa/attach", {"customer": _customer(client)}
    ),
    "payment_method.automatically_updated": _network_updates_card,
    "payment_method.detached": lambda client: client.post(
        f"payment_methods/{_card(client)}/detach", {}
    ),
    "payment_method.updated": _card_is_updated,
    "payout.created": _payout,
    "payout.failed": _payout_becomes("failed"),
    "payout.paid": _payout_becomes("paid"),
    "payout.reconciliation_completed": _payout,
    "payout.updated": _payout_becomes("in_transit"),
    "refund.created": _refund,
    "refund.failed": _refund_fails,
    "refund.updated": lambda client: client.post(f"refunds/{_refund(client)}", _MARK),
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
        client = _Client(control.account, named)
        TRIGGERS[kind](client)
        if client.unused:
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
