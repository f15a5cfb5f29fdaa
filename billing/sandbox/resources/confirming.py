"""Confirming a PaymentIntent: the one place where a payment method is charged."""

from billing.sandbox.behaviours import AUTHENTICATE, OK, behaviour_of
from billing.sandbox.call import Call
from billing.sandbox.errors import missing_object, refused
from billing.sandbox.resources.charges import new_charge
from billing.sandbox.resources.mandates import check_mandate, plan_revocation
from billing.sandbox.resources.payment_methods import new_record
from billing.sandbox.store import Record
from billing.sandbox.wallets import type_of

_AUTHENTICATION_REQUIRED = "authentication_required"


def method_for(call: Call, method_id: str, customer: str | None) -> Record:
    """Return the payment method to use; a test token becomes a fresh one. Raises: ApiError."""
    method = call.store.find("payment_method", method_id) or new_record(call, method_id, None)
    if method is None:
        raise missing_object("payment_method", method_id, param="payment_method", in_path=False)
    if method.get("detached"):
        raise refused(
            "The provided PaymentMethod was detached from a Customer; it may not be used again.",
            param="payment_method",
        )
    if method["customer"] not in (None, customer):
        raise refused(_not_theirs(method_id, customer), param="payment_method")
    return method


def _not_theirs(method_id: str, customer: str | None) -> str:
    if customer is None:
        return (
            "The PaymentMethod you provided is attached to a customer so for security purposes"
            " you must provide the customer in the request."
        )
    return (
        f"The customer does not have a payment method with the ID {method_id}."
        " The payment method must be attached to the customer."
    )


def check_method(call: Call, intent: Record, method: Record) -> None:
    """Refuse a payment method that may not pay the intent. Raises: ApiError."""
    allowed, kind = intent["types"], type_of(method)
    if kind not in allowed and not intent.get("automatic"):
        raise refused(
            f"The PaymentMethod provided ({kind}) is not allowed for this PaymentIntent. Please"
            f" attach a PaymentMethod of one of the following types: {', '.join(allowed)}.",
            code="payment_intent_incompatible_payment_method",
            param="payment_method",
        )
    check_mandate(call, method)


def charge_intent(call: Call, intent: Record, method: Record) -> str | None:
    """Try the card and move the intent on, in memory; return the name of the decline, if any.

    Writes the charge and the payment method's counter; the caller stores the intent.
    """
    outcome = _outcome(call, method)
    intent["next_action"] = False
    if outcome == AUTHENTICATE:
        intent.update(status="requires_action", payment_method=method["id"], next_action=True)
        return None
    decline = None if outcome == OK else outcome
    charge = new_charge(call, intent, method, decline=decline)
    intent["latest_charge"] = charge["id"]
    plan_revocation(call, method)
    if decline is not None:
        intent.update(status="requires_payment_method", payment_method=None)
        intent["last_error"] = {"decline": decline, "charge": charge["id"], "method": method}
        return decline
    manual = intent["capture_method"] == "manual"
    intent.update(
        status="requires_capture" if manual else "succeeded",
        payment_method=method["id"],
        received=charge["captured"],
        last_error=None,
    )
    return None


def _outcome(call: Call, method: Record) -> str:
    behaviour = behaviour_of(method["token"])
    assert behaviour is not None, "stored payment methods come from known tokens"
    outcome = behaviour.outcome(method["used"])
    if behaviour.counts:
        method["used"] += 1
        call.store.update(method)
    absent = call.params.get("off_session") or call.params.get("error_on_requires_action")
    return _AUTHENTICATION_REQUIRED if outcome == AUTHENTICATE and absent else outcome
