"""Changes of what subscriptions hold, over HTTP: quoted, once a key, withdrawn, audited."""

from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.world import World


def subscribed(caller: Caller, world: World) -> str:
    """Subscribe Ada; her trial is over, and the first month is paid."""
    given = {"name": "Ada", "external_id": "ada", "payment_method": "pm_card_visa"}
    caller.post("/v1/customers", given)
    order = {"customer": "ada", "plan": "video-basic", "currency": "USD"}
    made: str = caller.post("/v1/subscriptions", order).json()["id"]
    world.run_until("2026-01-15 09:00")
    return f"/v1/subscriptions/{made}/changes"


def test_a_quote_is_applied_once_a_key(caller: Caller, world: World) -> None:
    changes, key = subscribed(caller, world), fresh()
    quote = caller.post(f"{changes}/quote", {"quantity": 3, "applies": "now"})
    order = {"quantity": 3, "applies": "now", "quote_digest": quote.json()["digest"]}

    first, again = (caller.post(changes, order, key) for _ in range(2))
    world.run_until("2026-01-16")

    assert quote.status_code == 200, quote.text
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert first.json() == again.json()
    assert {**first.json(), "id": None} == quote.json()
    invoices = caller.found("/v1/invoices")["data"]
    assert [invoice["kind"] for invoice in invoices] == ["change", "cycle"]
    assert invoices[0]["due"] == quote.json()["invoice"]["due"]
    (line,) = caller.found("/v1/audit", subject=first.json()["subscription_id"])["data"][:1]
    assert (line["action"], line["detail"]) == (
        "subscription.change", {"change_id": first.json()["id"]},
    )  # fmt: skip
    world.assert_everything_adds_up()


def test_a_quote_that_moved_is_a_conflict(caller: Caller, world: World) -> None:
    changes = subscribed(caller, world)
    digest = caller.post(f"{changes}/quote", {"quantity": 3, "applies": "now"}).json()["digest"]
    world.run_until("2026-01-16")

    moved = caller.post(changes, {"quantity": 3, "applies": "now", "quote_digest": digest})

    assert (moved.status_code, moved.json()["code"]) == (409, "conflict")
    assert "has moved" in moved.text


def test_a_change_for_the_period_end_is_withdrawn_once(caller: Caller, world: World) -> None:
    changes = subscribed(caller, world)
    made = caller.post(changes, {"quantity": 3, "applies": "period_end"}).json()

    first, again = (caller.post(f"{changes}/{made['id']}/withdraw") for _ in range(2))
    world.run_until("2026-02-16")

    assert (first.status_code, again.status_code) == (200, 409)
    assert first.json()["quantity"] == 1
    assert [invoice["total"] for invoice in caller.found("/v1/invoices")["data"]] == [999, 999]


def test_what_is_not_there_and_what_is_not_known(caller: Caller, world: World) -> None:
    changes = subscribed(caller, world)

    assert caller.post(f"{changes}/{fresh()}/withdraw").status_code == 404
    assert caller.post("/v1/subscriptions/nobody/changes", {"quantity": 2}).status_code == 404
    assert caller.post(changes, {"quantity": 0}).status_code == 422
    assert caller.post(changes, {"quantity": 2, "when": "now"}).status_code == 422
    assert caller.post(changes, {"plan": "video-nothing"}).status_code in (404, 422)


def test_a_pause_has_a_length_and_an_end_a_date(caller: Caller, world: World) -> None:
    subscription = subscribed(caller, world).removesuffix("/changes")

    paused, again = (
        caller.post(f"{subscription}/pause", {"periods": 1}, "a-pause") for _ in range(2)
    )
    ends = caller.post(f"{subscription}/cancel", {"on": "2026-04-20T00:00:00"})
    world.run_until("2026-06-01")

    assert (paused.status_code, ends.status_code) == (200, 200), paused.text
    assert paused.json() == again.json()
    assert ends.json()["cancels_at"] == "2026-05-15T00:00:00Z"
    kinds = [line["what"] for line in caller.found(f"{subscription}/timeline")["data"]]
    assert sum("(paused)" in what for what in kinds) == 1
    assert caller.found(subscription)["status"] == "canceled"
    world.assert_everything_adds_up()


def test_dates_that_mean_nothing_are_refused(caller: Caller, world: World) -> None:
    subscription = subscribed(caller, world).removesuffix("/changes")

    for body in (
        {"periods": 0},
        {"until": "2026-01-01T00:00:00"},
        {"until": "2026-05-01T00:00:00Z"},
        {"periods": 1, "until": "2026-05-01T00:00:00"},
    ):
        assert caller.post(f"{subscription}/pause", body).status_code == 422, body
    assert caller.post(f"{subscription}/resume", {"on": "2026-05-01T00:00:00"}).status_code == 409


def test_a_billing_day_cuts_the_period_and_a_zone_is_known(caller: Caller, world: World) -> None:
    changes = subscribed(caller, world)
    world.run_until("2026-01-20 09:00")
    order = {"billing_day": 1, "zone": "Europe/Berlin", "applies": "now"}

    quote = caller.post(f"{changes}/quote", order).json()
    made = caller.post(changes, order | {"quote_digest": quote["digest"]}).json()
    world.run_until("2026-02-02")

    assert quote["periods"]["n"] == made["periods"]["n"] == 2
    assert made["periods"]["after"] == {
        "every": "1 month", "zone": "Europe/Berlin",
        "anchor_day": 1, "anchor_month": None, "anchor_weekday": None,
    }  # fmt: skip
    assert [note["total"] for note in made["notes"]] == [838]  # 9.99 for 26 of 31 days
    kinds = [invoice["kind"] for invoice in caller.found("/v1/invoices")["data"]]
    assert kinds == ["cycle"] * 3
    for refused in ({"billing_day": 0}, {"billing_day": True}, {"zone": "../etc"}):
        assert caller.post(changes, refused).status_code == 422
    world.assert_everything_adds_up()


def test_a_refund_of_what_a_change_takes_away_needs_its_scope(
    caller: Caller, shop: Shop, world: World
) -> None:
    changes = subscribed(caller, world)
    caller.post(changes, {"quantity": 3, "applies": "now"})
    world.run_until("2026-01-15 10:00")
    less = {"quantity": 1, "applies": "now", "credit": "refund"}

    refused = shop.caller(Scope.CHARGE).post(changes, less)
    to_credit = shop.caller(Scope.READ).post(f"{changes}/quote", {**less, "credit": "next_invoice"})
    quote = shop.caller(Scope.READ).post(f"{changes}/quote", less)
    made = shop.caller(Scope.CHARGE, Scope.REFUND).post(changes, less)
    world.run_until("2026-01-16")

    assert (refused.status_code, refused.json()["scope"]) == (403, "refund")
    assert [note["destination"] for note in to_credit.json()["notes"]] == ["credit"]
    assert [note["destination"] for note in quote.json()["notes"]] == ["refund"]
    assert made.status_code == 201, made.text
    assert made.json()["notes"] == quote.json()["notes"]
    (refund,) = caller.found("/v1/transactions")["data"][:1]
    assert (refund["kind"], refund["state"]) == ("refund", "succeeded")
    assert refund["amount"] == made.json()["notes"][0]["total"]
    world.assert_everything_adds_up()


def test_a_cancellation_gives_back_what_was_paid_for_the_days_left(
    caller: Caller, shop: Shop, world: World
) -> None:
    subscription = subscribed(caller, world).removesuffix("/changes")
    world.run_until("2026-01-25 09:00")
    at_once = {"at_period_end": False, "credit_note": "refund"}

    refused = shop.caller(Scope.CHARGE).post(f"{subscription}/cancel", at_once)
    late = caller.post(f"{subscription}/cancel", {"credit_note": "credit"})
    unknown = caller.post(f"{subscription}/cancel", {**at_once, "credit_note": "outside"})
    key = fresh()
    first, again = (caller.post(f"{subscription}/cancel", at_once, key) for _ in range(2))
    world.run_until("2026-02-20")

    assert (refused.status_code, refused.json()["scope"]) == (403, "refund")
    assert (late.status_code, unknown.status_code) == (422, 422)
    assert (first.status_code, first.json()) == (200, again.json())
    (refund,) = caller.found("/v1/transactions")["data"][:1]
    # 21 of 31 days of 9.99: January 25 up to February 15
    assert (refund["kind"], refund["amount"], refund["state"]) == ("refund", 677, "succeeded")
    world.assert_everything_adds_up()


def test_a_change_names_a_coupon_that_is_known(caller: Caller, world: World) -> None:
    changes = subscribed(caller, world)

    unknown = caller.post(changes, {"quantity": 2, "coupon": "spring"})
    alone = caller.post(f"{changes}/quote", {"coupon": "spring"})

    assert (unknown.status_code, alone.status_code) == (404, 422), unknown.text
    assert caller.post(f"{changes}/quote", {"quantity": 2}).json()["coupon"] is None
