"""Customers, cards, subscriptions and what is looked at, over HTTP."""

from pathlib import Path

import pytest

from billing.sandbox import SandboxServer
from tests.api.caller import Caller, fresh, open_shop
from tests.scenarios.money import apply_events_of_dispute, decide, open_dispute
from tests.scenarios.test_catalog_items import SPRING, SSO, TEAM
from tests.scenarios.world import World


def test_a_customer_is_made_once(caller: Caller, world: World) -> None:
    key = fresh()
    given = {"name": "Ada", "email": "ada@example.org", "external_id": "ada-1",
             "payment_method": "pm_card_visa"}  # fmt: skip

    first, again = (caller.post("/v1/customers", given, key) for _ in range(2))
    taken = caller.post("/v1/customers", given)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json() == caller.found("/v1/customers/ada-1")
    assert first.headers["location"] == f"/v1/customers/{first.json()['id']}"
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    assert len(caller.found("/v1/customers")["data"]) == 1


def test_an_external_id_may_look_like_an_id_of_ours(caller: Caller, world: World) -> None:
    own, contract = fresh(), fresh()
    ada = {"name": "Ada", "external_id": own, "payment_method": "pm_card_visa"}
    order = {"customer": own, "plan": "video-basic", "currency": "USD", "external_id": contract}

    made, taken = (caller.post("/v1/customers", ada) for _ in range(2))
    paid = caller.charged(999, customer=own)
    subscribed, twice = (caller.post("/v1/subscriptions", order) for _ in range(2))

    assert (made.status_code, subscribed.status_code) == (201, 201)
    assert [(each.status_code, each.json()["code"]) for each in (taken, twice)] == [
        (409, "conflict")
    ] * 2
    assert paid["customer_id"] == made.json()["id"]
    assert caller.found(f"/v1/customers/{own}")["id"] == made.json()["id"]
    assert caller.found(f"/v1/subscriptions/{contract}")["id"] == subscribed.json()["id"]


def test_an_id_of_ours_counts_before_somebodys_external_id(caller: Caller, world: World) -> None:
    ada = caller.post("/v1/customers", {"name": "Ada"}).json()
    bob = caller.post("/v1/customers", {"name": "Bob", "external_id": ada["id"]})

    assert (bob.status_code, bob.json()["code"]) == (409, "conflict")
    assert caller.found(f"/v1/customers/{ada['id']}")["name"] == "Ada"


def test_a_refused_card_leaves_a_customer_that_can_be_given_another(
    caller: Caller, world: World
) -> None:
    refused = caller.post(
        "/v1/customers", {"name": "Bob", "external_id": "bob", "payment_method": "pm_nonsense"}
    )

    added = caller.post("/v1/customers/bob/payment-methods", {"payment_method": "pm_card_visa"})

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert (added.status_code, added.json()["last4"]) == (201, "4242")
    methods = caller.found("/v1/customers/bob/payment-methods")["data"]
    assert [method["id"] for method in methods] == [added.json()["id"]]
    bob = caller.found("/v1/customers/bob")["id"]
    lines = caller.found("/v1/audit", subject=bob)["data"]
    assert [line["action"] for line in lines] == ["customer.payment_method", "customer.create"]
    assert "pm_nonsense" in lines[1]["detail"]["stopped"]


def test_a_wallet_is_shown_by_its_name_and_can_be_charged(caller: Caller, world: World) -> None:
    given = {"name": "Ada", "external_id": "ada", "payment_method": "pm_sbx_paypal"}
    caller.post("/v1/customers", given)

    (shown,) = caller.found("/v1/customers/ada/payment-methods")["data"]
    payment = caller.charged(999, customer="ada")

    assert (shown["kind"], shown["brand"], shown["last4"]) == ("wallet", "paypal", None)
    assert (shown["exp_month"], shown["exp_year"]) == (None, None)
    assert (payment["state"], payment["payment_method_id"]) == ("CAPTURED", shown["id"])


def test_a_provider_that_does_not_answer_leaves_the_key_free_to_go_on(
    caller: Caller, world: World
) -> None:
    key, given = fresh(), {"name": "Ada", "external_id": "ada"}
    world.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=1,
        match={"method": "POST", "path": "/v1/customers"},
    )  # fmt: skip

    failed = caller.post("/v1/customers", given, key)
    world.psp.heal()
    done = caller.post("/v1/customers", given, key)

    assert (failed.status_code, failed.json()["code"]) == (503, "unavailable")
    assert done.status_code == 201
    assert len(caller.found("/v1/customers")["data"]) == 1


def test_a_customer_is_made_at_the_account_that_is_named(caller: Caller, world: World) -> None:
    made = caller.post("/v1/customers", {"name": "Ada", "provider": world.provider})
    nowhere = caller.post("/v1/customers", {"name": "Ada", "provider": "nowhere"})

    assert made.status_code == 201
    assert nowhere.status_code == 422
    assert "nowhere" in nowhere.text
    assert len(caller.found("/v1/customers")["data"]) == 1


def test_a_customer_whose_maker_died_before_the_answer_is_found_again(
    caller: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, given = fresh(), {"name": "Ada", "payment_method": "pm_card_visa"}

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("here it ends")

    with monkeypatch.context() as patched:
        patched.setattr("billing.flows.service.customers.keep", die)
        died = caller.post("/v1/customers", given, key)
    done = caller.post("/v1/customers", given, key)

    assert (died.status_code, done.status_code) == (500, 201)
    assert [each["id"] for each in caller.found("/v1/customers")["data"]] == [done.json()["id"]]
    assert done.json()["default_payment_method_id"] is not None


def test_a_change_and_its_answer_are_committed_together(
    caller: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = world.subscribed("video-basic")
    world.run_until("2026-01-20")
    key, at = fresh(), f"/v1/subscriptions/{ada.reference}"
    before = caller.found(at)["status"]

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("here it ends")

    with monkeypatch.context() as patched:
        patched.setattr("billing.flows.service.idempotency.keep", die)
        died = caller.post(f"{at}/cancel", {"at_period_end": False}, key)
    between = caller.found(at)["status"]
    done = caller.post(f"{at}/cancel", {"at_period_end": False}, key)

    assert (died.status_code, between) == (500, before)
    assert (done.status_code, done.json()["status"]) == (200, "canceled")


def test_a_subscription_is_started_changed_and_looked_at(caller: Caller, world: World) -> None:
    caller.post("/v1/customers", {"name": "Ada", "external_id": "ada",
                                  "payment_method": "pm_card_visa"})  # fmt: skip
    key = fresh()
    order = {"customer": "ada", "plan": "office-team", "currency": "EUR", "quantity": 3,
             "zone": "Europe/Berlin", "external_id": "ada-office"}  # fmt: skip

    first, again = (caller.post("/v1/subscriptions", order, key) for _ in range(2))
    world.run_until("2026-01-02")
    at = "/v1/subscriptions/ada-office"
    paused = caller.post(f"{at}/pause", {"reason": "holiday"})
    twice = caller.post(f"{at}/pause")
    resumed = caller.post(f"{at}/resume")
    ends = caller.post(f"{at}/cancel", {"at_period_end": True})
    ended = caller.post(f"{at}/cancel", {"at_period_end": False, "reason": "moved"})

    assert (first.status_code, first.json()) == (201, again.json())
    assert first.json()["quantity"] == 3
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert twice.status_code == 409
    assert resumed.json()["status"] == "active"
    assert ends.json()["cancel_at_period_end"] is True
    assert ended.json()["status"] == "canceled"
    kinds = [line["kind"] for line in caller.found(f"{at}/timeline")["data"]]
    assert {"subscribed", "cycle_opened", "attempt_finished", "paused", "canceled"} <= set(kinds)
    assert [each["id"] for each in caller.found("/v1/subscriptions", customer="ada")["data"]] == [
        first.json()["id"]
    ]
    assert caller.found("/v1/subscriptions", status="active")["data"] == []


def test_a_timeline_tells_what_was_given_back_and_disputed(caller: Caller, world: World) -> None:
    ada = world.subscribed("video-basic")
    world.run_until("2026-02-20")
    payment = world.payment(ada)
    caller.post(f"/v1/payments/{payment.id}/refunds", {"amount": 100, "reason": "torn"})
    dispute = open_dispute(world, payment.id)
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "won")
    apply_events_of_dispute(world, dispute)

    lines = caller.found(f"/v1/subscriptions/{ada.reference}/timeline")["data"]

    told = [(line["kind"], line["what"]) for line in lines[-4:]]
    assert told == [
        ("refund_requested", "refund of 1.00 USD: torn"),
        ("refund_finished", "refund of 1.00 USD succeeded"),
        ("dispute_opened", "dispute of 8.99 USD: fraudulent"),
        ("dispute_closed", "dispute of 8.99 USD won"),
    ]
    assert {line["payment_id"] for line in lines[-4:]} == {str(payment.id)}
    assert lines[-4]["actor"].startswith("api:shop:")


def test_an_invoice_is_shown_with_its_lines_and_its_payment(caller: Caller, world: World) -> None:
    ada = world.subscribed("video-basic")
    world.run_until("2026-02-20")

    listed = caller.found("/v1/invoices", customer=ada.customer)["data"]
    shown = caller.found(f"/v1/invoices/{listed[0]['number']}")

    assert listed[0]["status"] == "paid"
    assert sum(line["amount"] for line in shown["lines"]) == shown["net"]
    assert shown["payment"]["amount"] == shown["total"]
    assert caller.found(f"/v1/payments/{shown['payment']['id']}")["invoice_id"] == shown["id"]


def test_plans_are_shown_with_every_version_in_minor_units(caller: Caller, world: World) -> None:
    plan = caller.found("/v1/plans/video-basic")

    assert plan in caller.found("/v1/plans")["data"]
    assert plan["versions"][0]["prices"]["USD"] == 999
    assert isinstance(plan["versions"][0]["effective"], str)


WRONG_ORDERS: list[dict[str, object]] = [
    {"plan": "none"},
    {"customer": "none"},
    {"currency": "XXX"},
    {"currency": "SEK"},
    {"quantity": 0},
    {"quantity": "1"},
    {"quantity": 1.5},
    {"zone": "Mars/Base"},
    {"zone": "../etc/passwd"},
    {"starts": "2026-03-01T00:00:00Z"},
    {"starts": "0001-01-01T00:00:00"},
    {"starts": 5},
    {"trial": "yes"},
]


def test_items_add_ons_and_coupons_are_shown(caller: Caller, world: World) -> None:
    world.publish(TEAM + SSO + SPRING)

    (version,) = caller.found("/v1/plans/team")["versions"]

    assert version["prices"] == {}
    assert version["items"][1]["quantity"] == {"min": 1, "max": 100, "default": 3}
    assert version["items"][1]["tier"][1] == {"unit": {"USD": "12.005"}}
    (addon,) = caller.found("/v1/addons")["data"]
    assert (addon["code"], addon["versions"][0]["item"]) == ("sso", {"price": {"USD": 4900}})
    (coupon,) = caller.found("/v1/coupons")["data"]
    assert (coupon["code"], coupon["percent"], coupon["for"]) == ("spring", "15", "3 invoices")


def test_a_wrong_subscription_is_refused(caller: Caller, world: World) -> None:
    customer = str(world.customer()[0])
    order = {"customer": customer, "plan": "office-team", "currency": "USD"}

    for change in WRONG_ORDERS:
        answer = caller.post("/v1/subscriptions", order | change)
        assert answer.status_code in (404, 422), (change, answer.text)
    assert caller.found("/v1/subscriptions")["data"] == []


def test_a_subscription_is_collected_over_the_account_that_it_names(
    db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    world = World(
        db_url, sandbox.url, tmp_path / "catalog", prepared=True, more={"braintree": sandbox.url}
    )
    with open_shop(world) as shop:
        caller = shop.caller()
        ada = caller.post("/v1/customers", {"name": "Ada", "payment_method": "pm_card_visa"}).json()
        methods = f"/v1/customers/{ada['id']}/payment-methods"
        wallet = {
            "payment_method": "fake-paypal-billing-agreement-nonce",
            "provider": "braintree",
            "make_default": False,
        }
        added = caller.post(methods, wallet)
        order = {"customer": ada["id"], "plan": "video-premium", "currency": "USD"}
        there = caller.post("/v1/subscriptions", {**order, "provider": "braintree"}).json()
        here = caller.post("/v1/subscriptions", order).json()
        nowhere = caller.post("/v1/subscriptions", {**order, "provider": "nowhere"})
        path = f"/v1/subscriptions/{here['id']}/provider"
        named = caller.post(path, {"provider": "braintree", "reason": "PayPal"})
        back = caller.post(path, {"provider": None})

        assert (added.status_code, added.json()["provider"]) == (201, "braintree")
        assert caller.found(f"/v1/customers/{ada['id']}")["provider"] == "stripe"
        assert (there["provider"], here["provider"]) == ("braintree", None)
        assert (nowhere.status_code, nowhere.json()["code"]) == (422, "invalid_request")
        assert (named.json()["provider"], back.json()["provider"]) == ("braintree", None)
        world.settle()
        listed = caller.found("/v1/payments", customer=ada["id"])["data"]
        assert {each["state"] for each in listed} == {"CAPTURED"}
    world.assert_promises_hold()
    world.close()
