"""What a provider's books shouldn't hold, made on purpose: for whoever looks for such things."""

from typing import Any

from billing.sandbox.call import Call
from billing.sandbox.errors import refused
from billing.sandbox.ids import new_id
from billing.sandbox.resources import charges
from billing.sandbox.resources.events import record_event
from billing.sandbox.store import Record


def alter(call: Call, charge: Record, wanted: dict[str, Any]) -> None:
    """Change what the provider says of a captured charge, without an event.

    `amount` changes the charge, its intent and what was booked; `settled` and `fee` only what
    was booked, in its currency; `hidden` keeps all three out of lists, balance and payouts.
    """
    if not charge["captured"]:
        raise refused(f"Charge {charge['id']} isn't captured.")
    booked = call.stored("balance_transaction", charge["balance_transaction"])
    intent = call.stored("payment_intent", charge["payment_intent"])
    if "amount" in wanted:
        amount = wanted["amount"]
        charge.update(amount=amount, captured=amount)
        intent["received"] = booked["amount"] = amount
    if "settled" in wanted:
        booked["amount"] = wanted["settled"]
    if "fee" in wanted:
        booked["fee"] = wanted["fee"]
    for record in (charge, booked, intent):
        if "hidden" in wanted:
            record.pop("hidden", None)
            record.update({"hidden": True} if wanted["hidden"] else {})
        call.store.update(record)


def duplicate(call: Call, charge: Record, *, own_intent: bool) -> Record:
    """Charge once more what was charged: under the same PaymentIntent, or a copy of it."""
    intent = call.stored("payment_intent", charge["payment_intent"])
    if own_intent:
        intent = {**intent, "id": new_id("pi"), "created": call.now}
    copy: Record = {
        **{name: charge[name] for name in charge if name not in _OF_THE_FIRST},
        "id": new_id(charge["id"].partition("_")[0]),
        "created": call.now,
        "payment_intent": intent["id"],
        "captured": 0,
        "refunded": 0,
    }
    charges.settle(call, copy, intent, charge["captured"])
    call.store.insert("charge", copy, parent=intent["id"])
    record_event(call, "charge.succeeded", charges.KIND, copy)
    if own_intent:
        intent["latest_charge"] = copy["id"]
        call.store.insert("payment_intent", intent)
        record_event(call, "payment_intent.succeeded", call.kinds["payment_intent"], intent)
    return copy


_OF_THE_FIRST = ("balance_transaction", "booked_at", "disputed", "charged_back", "hidden")
