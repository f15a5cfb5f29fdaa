"""API keys: what they open, how they are kept, and how they end."""

import hashlib
import hmac
from datetime import timedelta

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from billing.api.app import ROUTERS
from billing.errors import BadInput, Conflict, NotFound
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope, check_pepper
from billing.logs import redact
from billing.rules.actor import Actor, ActorKind
from billing.store.access import api_keys as stored
from billing.store.access import audit
from tests.api.caller import PEPPER, Caller, Shop
from tests.scenarios.world import World

READ, CHARGE, REFUND, USAGE, ADMIN = (
    Scope.READ, Scope.CHARGE, Scope.REFUND, Scope.USAGE, Scope.ADMIN
)  # fmt: skip
SOME_ID = "01a203a3-5ec8-7b90-84bf-e4cf13f0721b"

# A quote has the body of what it quotes, and changes nothing.
ONLY_TELLING = {"/v1/subscriptions/{subscription}/changes/quote"}
# Each event has an id of its own.
WITHOUT_A_KEY = {"/v1/usage"}

ROUTES = [
    ("GET", "/v1/payments", READ),
    ("GET", f"/v1/payments/{SOME_ID}", READ),
    ("GET", f"/v1/payments/{SOME_ID}/refunds", READ),
    ("GET", f"/v1/refunds/{SOME_ID}", READ),
    ("GET", "/v1/transactions", READ),
    ("GET", "/v1/customers", READ),
    ("GET", "/v1/customers/ada", READ),
    ("GET", "/v1/customers/ada/payment-methods", READ),
    ("GET", "/v1/customers/ada/credit", READ),
    ("GET", "/v1/customers/ada/credit-grants", READ),
    ("GET", "/v1/customers/ada/tax-facts", READ),
    ("GET", f"/v1/credit-grants/{SOME_ID}", READ),
    ("GET", "/v1/subscriptions", READ),
    ("GET", "/v1/subscriptions/ada", READ),
    ("GET", "/v1/subscriptions/ada/timeline", READ),
    ("GET", "/v1/subscriptions/ada/usage", READ),
    ("GET", "/v1/invoices", READ),
    ("GET", "/v1/invoices/X-1", READ),
    ("GET", "/v1/invoices/X-1/credit-notes", READ),
    ("GET", "/v1/credit-notes/X-C1", READ),
    ("GET", "/v1/plans", READ),
    ("GET", "/v1/plans/video-basic", READ),
    ("GET", "/v1/addons", READ),
    ("GET", "/v1/coupons", READ),
    ("POST", "/v1/payments", CHARGE),
    ("POST", f"/v1/payments/{SOME_ID}/capture", CHARGE),
    ("POST", f"/v1/payments/{SOME_ID}/void", CHARGE),
    ("POST", f"/v1/payments/{SOME_ID}/retry", CHARGE),
    ("POST", "/v1/customers", CHARGE),
    ("POST", "/v1/customers/ada/payment-methods", CHARGE),
    ("POST", "/v1/customers/ada/tax-facts", CHARGE),
    ("POST", "/v1/customers/ada/top-ups", CHARGE),
    ("POST", "/v1/invoices", CHARGE),
    ("POST", "/v1/invoices/X-1/void", CHARGE),
    ("POST", "/v1/subscriptions", CHARGE),
    ("POST", "/v1/subscriptions/ada/cancel", CHARGE),
    ("POST", "/v1/subscriptions/ada/changes", CHARGE),
    ("POST", "/v1/subscriptions/ada/changes/quote", READ),
    ("POST", f"/v1/subscriptions/ada/changes/{SOME_ID}/withdraw", CHARGE),
    ("POST", "/v1/subscriptions/ada/coupons", CHARGE),
    ("POST", "/v1/subscriptions/ada/pause", CHARGE),
    ("POST", "/v1/subscriptions/ada/provider", CHARGE),
    ("POST", "/v1/subscriptions/ada/resume", CHARGE),
    ("POST", f"/v1/payments/{SOME_ID}/refunds", REFUND),
    ("POST", "/v1/customers/ada/credit-grants", REFUND),
    ("POST", f"/v1/credit-grants/{SOME_ID}/revoke", REFUND),
    ("POST", "/v1/invoices/X-1/credit-notes", REFUND),
    ("POST", "/v1/usage", USAGE),
    ("GET", "/v1/audit", ADMIN),
]


def status(caller: Caller, method: str, path: str) -> int:
    answer = caller.get(path) if method == "GET" else caller.post(path)
    return answer.status_code


def test_every_route_needs_its_scope_and_no_other(shop: Shop) -> None:
    callers = {scope: shop.caller(scope) for scope in Scope}

    for method, path, needed in ROUTES:
        for scope, caller in callers.items():
            forbidden = scope not in (needed, ADMIN)
            assert (status(caller, method, path) == 403) == forbidden, (method, path, scope)


def test_the_table_above_names_every_route(shop: Shop, caller: Caller) -> None:
    described = caller.found("/v1/openapi.json")["paths"]
    routes = {
        (
            method.upper(),
            path.replace("{payment_id}", SOME_ID)
            .replace("{refund_id}", SOME_ID)
            .replace("{grant_id}", SOME_ID),
        )
        for path, methods in described.items()
        for method in methods
    }
    names = {
        "{customer}": "ada",
        "{subscription}": "ada",
        "{change}": SOME_ID,
        "{invoice}": "X-1",
        "{note}": "X-C1",
        "{code}": "video-basic",
    }

    for placeholder, name in names.items():
        routes = {(method, path.replace(placeholder, name)) for method, path in routes}
    assert routes == {(method, path) for method, path, _ in ROUTES}


def test_only_the_interface_itself_and_webhooks_are_not_described() -> None:
    hidden = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and not route.include_in_schema
    }

    assert hidden == {"/v1/openapi.json", "/v1/webhooks/{provider}"}


def test_whatever_changes_something_wants_an_idempotency_key(caller: Caller) -> None:
    described = caller.found("/v1/openapi.json")["paths"]
    changing = [
        (path, operation)
        for path, methods in described.items()
        for method, operation in methods.items()
        if method != "get" and path not in ONLY_TELLING | WITHOUT_A_KEY
    ]

    assert len(changing) >= 10
    for path, operation in changing:
        required = [each["name"] for each in operation["parameters"] if each["required"]]
        assert "Idempotency-Key" in required, path


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "pk_",
        "pk_bbbbbbbbbbbb_" + "0" * 64,
        "perennial_",
        "perennial_bbbbbbbbbbbb_" + "0" * 64,
        "sk_test_1",
        "x" * 5000,
        "pk_é",
    ],
    ids=["none", "old half", "old unknown", "half", "unknown", "another's", "long", "strange"],
)
def test_nothing_opens_without_a_key_that_is_known(presented: str, shop: Shop) -> None:
    shop.caller()
    visitor = shop.caller_with(presented.encode().decode("latin-1"))

    for method, path, _ in [*ROUTES, ("GET", "/v1/openapi.json", READ), ("GET", "/v1/none", READ)]:
        answer = visitor.get(path) if method == "GET" else visitor.post(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_half_a_key_is_no_key(shop: Shop) -> None:
    caller = shop.caller()
    flipped = caller.key[:-1] + ("0" if caller.key[-1] != "0" else "1")
    other = shop.caller()
    mixed = other.key[:16] + caller.key[16:]

    assert shop.caller_with(flipped).get("/v1/plans").status_code == 401
    assert shop.caller_with(mixed).get("/v1/plans").status_code == 401


def test_only_a_keyed_hash_is_kept(shop: Shop, world: World) -> None:
    caller = shop.caller()
    _, key_id, secret = caller.key.split("_")

    with world.engine.connect() as conn:
        row = stored.get(conn, key_id)
        everything = str(conn.execute(text("SELECT k.*, a.* FROM api_keys k, audit_log a")).all())

    assert row is not None
    assert (
        bytes(row.secret_hash)
        == hmac.new(PEPPER.encode(), bytes.fromhex(secret), hashlib.sha256).digest()
    )
    assert secret not in everything
    assert len(bytes.fromhex(secret)) == 32


@pytest.mark.parametrize("prefix", ["perennial", "pk"])
def test_a_key_in_a_log_line_is_hidden(prefix: str) -> None:
    key = f"{prefix}_bcdfghjkmnpq_" + "0f" * 32

    told = redact(None, "info", {"event": f"it sent {key} again", "headers": [key]})

    assert told == {"event": f"it sent {prefix}_bcdfghjkmnpq_[hidden] again",
                    "headers": [f"{prefix}_bcdfghjkmnpq_[hidden]"]}  # fmt: skip


def test_a_key_of_an_earlier_release_opens_what_it_opened(shop: Shop) -> None:
    made = shop.caller(READ).key

    assert made.startswith("perennial_")
    assert shop.caller_with(made.replace("perennial", "pk", 1)).get("/v1/plans").status_code == 200
    assert shop.caller_with(made.replace("perennial", "sk", 1)).get("/v1/plans").status_code == 401


def test_a_revoked_key_opens_nothing_from_that_moment(shop: Shop, world: World) -> None:
    caller = shop.caller(READ)
    key_id = caller.key.split("_")[1]
    before = caller.get("/v1/plans").status_code

    api_keys.revoke(
        world.engine, key_id, wall=world.wall, actor=Actor(ActorKind.CLI, "ada"), why="it leaked"
    )

    assert (before, caller.get("/v1/plans").status_code) == (200, 401)
    with pytest.raises(Conflict):
        api_keys.revoke(
            world.engine, key_id, wall=world.wall, actor=Actor(ActorKind.CLI, "ada"), why="again"
        )
    with pytest.raises(NotFound):
        api_keys.revoke(
            world.engine, "none", wall=world.wall, actor=Actor(ActorKind.CLI, "ada"), why="again"
        )
    with world.engine.connect() as conn:
        line = audit.page(conn, subject=key_id)[0]
    assert (line.actor, line.action, line.why) == ("cli:ada", "key.revoke", "it leaked")


def test_a_keys_last_use_is_noted_once_a_minute(shop: Shop, world: World) -> None:
    caller = shop.caller(READ)
    key_id = caller.key.split("_")[1]

    def last_used() -> object:
        with world.engine.connect() as conn:
            row = stored.get(conn, key_id)
        return None if row is None else row.last_used_at

    never, first = last_used(), world.wall
    caller.get("/v1/plans")
    world.wall += timedelta(seconds=30)
    caller.get("/v1/plans")
    still = last_used()
    world.wall += timedelta(seconds=31)
    caller.get("/v1/plans")

    assert (never, still, last_used()) == (None, first, world.wall)


@pytest.mark.parametrize(
    ("name", "scopes"), [("", [READ]), ("Shop", [READ]), ("a b", [READ]), ("shop", [])]
)
def test_a_key_has_a_plain_name_and_a_scope(name: str, scopes: list[Scope], world: World) -> None:
    with pytest.raises(BadInput):
        api_keys.create(
            world.engine,
            name=name,
            scopes=scopes,
            pepper=PEPPER,
            wall=world.wall,
            actor=Actor(ActorKind.CLI, "test"),
        )


def test_a_short_pepper_is_none() -> None:
    for pepper in ("", "x" * 31):
        with pytest.raises(BadInput, match="pepper"):
            check_pepper(pepper)


def test_every_change_is_in_the_audit_log_with_who_what_and_why(shop: Shop, world: World) -> None:
    caller = shop.caller(name="kiosk")
    customer = caller.post(
        "/v1/customers", {"name": "Ada", "payment_method": "pm_card_visa"}
    ).json()["id"]
    paid = caller.charged(1000, customer=customer, description="a poster")
    caller.post(f"/v1/payments/{paid['id']}/refunds", {"amount": 100, "reason": "torn"})
    held = caller.charged(500, customer=customer, capture="manual")
    caller.post(f"/v1/payments/{held['id']}/capture")
    subscription = caller.post(
        "/v1/subscriptions", {"customer": customer, "plan": "video-basic", "currency": "USD"}
    ).json()["id"]
    caller.post(f"/v1/subscriptions/{subscription}/pause", {"reason": "holiday"})

    lines = caller.found("/v1/audit", actor=f"api:kiosk:{caller.key.split('_')[1]}")["data"]

    assert [line["action"] for line in reversed(lines)] == [
        "customer.create", "payment.charge", "payment.refund", "payment.charge",
        "payment.capture", "subscription.create", "subscription.pause",
    ]  # fmt: skip
    refund = next(line for line in lines if line["action"] == "payment.refund")
    assert (refund["subject"], refund["why"], refund["detail"]["amount"]) == (
        paid["id"], "torn", 100,
    )  # fmt: skip
    with world.engine.connect() as conn:
        histories = conn.execute(
            text(
                "SELECT requested_by FROM refunds UNION ALL"
                " SELECT actor FROM subscription_events WHERE kind IN ('created', 'paused')"
            )
        ).scalars()
        assert list(histories) == [refund["actor"]] * 3
    with pytest.raises(ProgrammingError, match="permission denied"), world.engine.begin() as conn:
        conn.execute(text("UPDATE audit_log SET why = ''"))
