"""Mandates: the permission to charge a PayPal account, which its payer can take back.

The sandbox has no SetupIntents: the mandate that one makes comes with the test token. Its payer
takes it back through the control API, or by the token's own steps.
"""

from billing.sandbox.behaviours import REVOKED, behaviour_of
from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.params import Params, texts
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

ACTIVE, INACTIVE = "active", "inactive"


def new_mandate(call: Call, method: Record) -> None:
    """Make the mandate of a payment method; some were taken back before the first charge."""
    record: Record = {
        "id": new_id("mandate"),
        "created": call.now,
        "payment_method": method["id"],
        "payer_id": method["payer"]["payer_id"],
        "status": INACTIVE if _next_outcome(method) == REVOKED else ACTIVE,
    }
    method["mandate"] = record["id"]
    call.store.insert("mandate", record, parent=method["id"])


def _next_outcome(method: Record) -> str:
    behaviour = behaviour_of(method["token"])
    assert behaviour is not None, "stored payment methods come from known tokens"
    return behaviour.outcome(method["used"])


def check_mandate(call: Call, method: Record) -> None:
    """Refuse a payment method whose mandate was taken back. Raises: ApiError."""
    name = method.get("mandate")
    if name is not None and call.stored("mandate", name)["status"] != ACTIVE:
        raise refused(
            "The provided mandate is invalid and can not be used for the payment intent.",
            code="payment_intent_mandate_invalid",
        )


def plan_revocation(call: Call, method: Record) -> None:
    """Let the payer take the mandate back after this charge, where the token says so."""
    if "mandate" in method and _next_outcome(method) == REVOKED:
        call.store.remind(call.now, "mandate.revoke", method["mandate"])


def revoke(call: Call, mandate_id: str) -> None:
    """Take a mandate back, as its payer does at PayPal; once is enough."""
    record = call.stored("mandate", mandate_id)
    if record["status"] == INACTIVE:
        return
    record["status"] = INACTIVE
    call.store.update(record)
    record_event(call, "mandate.updated", KIND, record)


def render(_call: Call, record: Record) -> Body:
    """Return the mandate as Stripe shows it."""
    return {
        "id": record["id"],
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": record["created"],
            "online": {"ip_address": "127.0.0.1", "user_agent": "sandbox"},
            "type": "online",
        },
        "livemode": False,
        "multi_use": {},
        "payment_method": record["payment_method"],
        "payment_method_details": {
            "paypal": {
                "billing_agreement_id": f"B-{record['id'][-17:].upper()}",
                "payer_id": record["payer_id"],
            },
            "type": "paypal",
        },
        "status": record["status"],
        "type": "multi_use",
    }


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("mandate", "mandate")))


KIND = ObjectKind("mandate", render, {"payment_method": ("payment_method",)})

ACTIONS = {"mandate.revoke": revoke}

ROUTES = (Route("GET", "/v1/mandates/*", Params({"expand": texts}), _retrieve, KIND.name),)
