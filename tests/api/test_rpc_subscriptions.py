"""Subscriptions, changes, coupons, credit and credit notes over gRPC, as over HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from billing.api.generated.perennial.v1 import subscriptions_pb2 as pb
from billing.api.generated.perennial.v1.subscriptions_pb2_grpc import (
    CreditServiceStub,
    SubscriptionServiceStub,
)
from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.test_facts import ADDONS
from tests.scenarios.world import World
from tests.waiting import PATIENCE

Code = grpc.StatusCode
COUPON = """
[[coupon]]
code = "spring"
percent = "10"
for = "forever"
"""
ANY_DAY = """
[[plan]]
code = "any-day"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00" }
"""
_CREDIT: Final = ("GrantCredit", "CreateCreditNote")


def call(caller: Caller, name: str, request: Any) -> Any:
    stub: Any = CreditServiceStub if name in _CREDIT else SubscriptionServiceStub
    method = getattr(stub(caller.channel), name)
    return method(request, metadata=caller.metadata, timeout=PATIENCE)


def refusal(caller: Caller, name: str, request: Any) -> tuple[Code, str, str]:
    """Return the status, our own code and the sentence that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(caller, name, request)
    error = cast(grpc.Call, caught.value)
    trailing = dict(error.trailing_metadata() or ())
    return error.code(), str(trailing.get("perennial-code", "")), error.details() or ""


@pytest.fixture
def ada(world: World, caller: Caller) -> str:
    """Ada holds 5 seats and single sign-on, 10 % off, from 1 January."""
    world.publish(ADDONS + COUPON)
    given = {"name": "Ada", "external_id": "ada", "payment_method": "pm_card_visa"}
    caller.post("/v1/customers", given)
    made = call(caller, "Subscribe", order())
    world.run_until("2026-01-15 09:00")
    return str(made.subscription.id)


def order(**changes: Any) -> pb.SubscribeRequest:
    given = {"idempotency_key": "ada-1", "customer": "ada", "plan": "team", "currency": "USD",
             "items": {"seats": 5, "sso": 1}, "coupons": ["spring"], **changes}  # fmt: skip
    return pb.SubscribeRequest(**given)


def test_items_add_ons_and_coupons_are_subscribed_to_once_a_key(
    caller: Caller, ada: str, world: World
) -> None:
    again = call(caller, "Subscribe", order())
    by_http = {"customer": "ada", "plan": "team", "currency": "USD",
               "items": {"seats": 5, "sso": 1}, "coupons": ["spring"]}  # fmt: skip
    same = caller.post("/v1/subscriptions", by_http, "ada-1")

    assert (again.subscription.id, again.replayed) == (ada, True)
    assert (same.json()["id"], same.headers["Idempotency-Replayed"]) == (ada, "true")
    (invoice,) = caller.found("/v1/invoices")["data"]
    shown = caller.found(f"/v1/invoices/{invoice['number']}")
    assert {line["item"] for line in shown["lines"]} >= {"seats", "sso"}
    assert {line["item"]: line["discount"] for line in shown["lines"]}["sso"] == 490
    world.assert_everything_adds_up()


def test_a_change_is_quoted_and_made_once_a_key(caller: Caller, ada: str, world: World) -> None:
    seats = pb.ChangeOrder(items={"seats": 8}, applies=pb.CHANGE_APPLIES_NOW)
    quoted = call(caller, "QuoteChange", pb.QuoteChangeRequest(subscription=ada, order=seats))
    request = pb.MakeChangeRequest(
        idempotency_key=fresh(), subscription=ada, order=seats, quote_digest=quoted.change.digest
    )

    first, again = (call(caller, "MakeChange", request) for _ in range(2))
    moved = refusal(caller, "MakeChange", pb.MakeChangeRequest(
        idempotency_key=fresh(), subscription=ada, quote_digest=quoted.change.digest,
        order=pb.ChangeOrder(items={"seats": 9}, applies=pb.CHANGE_APPLIES_NOW)))  # fmt: skip
    world.run_until("2026-01-16")

    assert (quoted.change.id, quoted.change.applies) == ("", pb.CHANGE_APPLIES_NOW)
    assert dict(quoted.change.before.items) | {"seats": 8} == dict(quoted.change.after.items)
    assert set(quoted.change.after.addons) == {"sso"}
    assert [line.item for line in quoted.change.invoice.lines] == ["seats"]
    assert (first.replayed, again.replayed) == (False, True)
    assert first.change == again.change
    assert first.change.invoice == quoted.change.invoice
    assert moved[:2] == (Code.FAILED_PRECONDITION, "conflict")
    invoices = caller.found("/v1/invoices")["data"]
    assert (invoices[0]["kind"], invoices[0]["due"]) == ("change", first.change.invoice.due_cents)
    world.assert_everything_adds_up()


def test_a_billing_day_and_a_zone_are_changed_as_over_http(
    caller: Caller, ada: str, world: World
) -> None:
    world.publish(ADDONS + COUPON + ANY_DAY)
    asked_for = order(idempotency_key="any", plan="any-day", items={}, coupons=[])
    ada = call(caller, "Subscribe", asked_for).subscription.id
    world.run_until("2026-01-15 10:00")
    moved = pb.ChangeOrder(billing_day=20, zone="Europe/Berlin")
    asked = {"billing_day": 20, "zone": "Europe/Berlin"}
    path = f"/v1/subscriptions/{ada}/changes"

    quoted = call(caller, "QuoteChange", pb.QuoteChangeRequest(subscription=ada, order=moved))
    by_http = caller.post(f"{path}/quote", asked).json()
    made = call(caller, "MakeChange", pb.MakeChangeRequest(
        idempotency_key="day", subscription=ada, order=moved,
        quote_digest=quoted.change.digest))  # fmt: skip
    same = caller.post(path, asked | {"quote_digest": quoted.change.digest}, "day")

    periods, told = made.change.periods, by_http["periods"]
    assert quoted.change.digest == by_http["digest"]
    assert (periods.n, periods.after.anchor_day, periods.after.zone) == (1, 20, "Europe/Berlin")
    assert (periods.before.anchor_day, periods.before.zone) == (0, "UTC")
    assert periods.after.every == told["after"]["every"] == "1 month"
    assert periods.starts_at.ToDatetime(UTC) == datetime.fromisoformat(told["starts_at"])
    assert (same.json()["id"], same.headers["Idempotency-Replayed"]) == (made.change.id, "true")
    world.run_until("2026-02-21")
    assert caller.found(f"/v1/subscriptions/{ada}")["renews_at"] == "2026-03-19T23:00:00Z"
    world.assert_everything_adds_up()


def test_a_change_that_moves_no_period_tells_of_none(caller: Caller, ada: str) -> None:
    seats = pb.ChangeOrder(items={"seats": 8})
    quoted = call(caller, "QuoteChange", pb.QuoteChangeRequest(subscription=ada, order=seats))
    wrong = refusal(caller, "QuoteChange", pb.QuoteChangeRequest(
        subscription=ada, order=pb.ChangeOrder(billing_day=32)))  # fmt: skip

    assert not quoted.change.HasField("periods")
    assert wrong[0] == Code.INVALID_ARGUMENT
    assert "billing_day" in wrong[2]


def test_a_change_redeems_the_coupon_that_it_names(caller: Caller, ada: str, world: World) -> None:
    world.publish(ADDONS + COUPON + COUPON.replace("spring", "autumn"))
    more = pb.ChangeOrder(items={"seats": 8}, coupon="autumn")
    quoted = call(caller, "QuoteChange", pb.QuoteChangeRequest(subscription=ada, order=more))
    made = call(caller, "MakeChange", pb.MakeChangeRequest(
        idempotency_key="autumn", subscription=ada, order=more,
        quote_digest=quoted.change.digest))  # fmt: skip
    twice = refusal(caller, "RedeemCoupon", pb.RedeemCouponRequest(
        idempotency_key="again", subscription=ada, coupon="autumn"))  # fmt: skip

    assert made.change.coupon == quoted.change.coupon == "autumn"
    assert twice[0] == Code.FAILED_PRECONDITION
    world.assert_everything_adds_up()


def test_a_subscription_pauses_resumes_and_ends_once_a_key(
    caller: Caller, shop: Shop, ada: str, world: World
) -> None:
    pause = pb.PauseRequest(idempotency_key="p", subscription=ada, periods=2)
    ends = pb.CancelRequest(
        idempotency_key="c", subscription=ada, now=True, credit_note=pb.NOTE_DESTINATION_REFUND
    )

    paused, again = (call(caller, "Pause", pause) for _ in range(2))
    resumed = call(caller, "Resume", pb.ResumeRequest(idempotency_key="r", subscription=ada))
    refused = refusal(shop.caller(Scope.CHARGE), "Cancel", ends)
    ended = call(shop.caller(Scope.CHARGE, Scope.REFUND), "Cancel", ends)

    assert (paused.subscription.status, resumed.subscription.status) == ("paused", "active")
    assert (paused.replayed, again.replayed) == (False, True)
    assert refused[:2] == (Code.PERMISSION_DENIED, "permission_denied")
    assert ended.subscription.status == "canceled"
    world.settle()
    (refund,) = caller.found("/v1/transactions")["data"][:1]
    assert (refund["kind"], refund["state"]) == ("refund", "succeeded")
    world.assert_everything_adds_up()


def test_a_subscription_ends_with_its_period_unless_it_is_said_otherwise(
    caller: Caller, ada: str
) -> None:
    ends = call(caller, "Cancel", pb.CancelRequest(idempotency_key="c", subscription=ada))
    kept = call(caller, "Resume", pb.ResumeRequest(idempotency_key="r", subscription=ada))

    assert (ends.subscription.status, ends.subscription.HasField("cancels_at")) == ("active", True)
    assert not kept.subscription.HasField("cancels_at")


def test_what_a_change_takes_away_is_told_as_a_note(caller: Caller, ada: str) -> None:
    less = pb.ChangeOrder(items={"sso": 0}, applies=pb.CHANGE_APPLIES_NOW)
    quoted = call(caller, "QuoteChange", pb.QuoteChangeRequest(subscription=ada, order=less))

    assert not quoted.change.HasField("invoice")
    (note,) = quoted.change.notes
    assert (note.currency, note.total_cents) == ("USD", note.net_cents + note.tax_cents)
    assert note.invoice == caller.found("/v1/invoices")["data"][0]["number"]


def test_a_refund_of_what_a_change_takes_away_needs_its_scope(
    caller: Caller, shop: Shop, ada: str
) -> None:
    less = pb.ChangeOrder(items={"sso": 0}, applies=pb.CHANGE_APPLIES_NOW, refund=True)
    request = pb.MakeChangeRequest(idempotency_key=fresh(), subscription=ada, order=less)

    refused = refusal(shop.caller(Scope.CHARGE), "MakeChange", request)
    made = call(shop.caller(Scope.CHARGE, Scope.REFUND), "MakeChange", request)

    assert refused[:2] == (Code.PERMISSION_DENIED, "permission_denied")
    assert [note.destination for note in made.change.notes] == [pb.NOTE_DESTINATION_REFUND]


def test_a_coupon_is_redeemed_once_a_key(caller: Caller, ada: str, world: World) -> None:
    world.publish(ADDONS + COUPON + COUPON.replace("spring", "autumn"))
    request = pb.RedeemCouponRequest(idempotency_key="c-1", subscription=ada, coupon="autumn")

    first, again = (call(caller, "RedeemCoupon", request) for _ in range(2))
    twice = refusal(caller, "RedeemCoupon", pb.RedeemCouponRequest(
        idempotency_key="c-2", subscription=ada, coupon="autumn"))  # fmt: skip

    assert first.redemption == again.redemption
    assert (first.redemption.coupon, first.redemption.subscription_id) == ("autumn", ada)
    assert twice[:2] == (Code.FAILED_PRECONDITION, "conflict")


def test_credit_is_granted_once_a_key(caller: Caller, ada: str, world: World) -> None:
    until = Timestamp()
    until.FromDatetime(datetime(2026, 6, 1, tzinfo=UTC))
    request = pb.GrantCreditRequest(
        idempotency_key="g-1", customer="ada", amount_cents=2000, currency="USD",
        reason="an outage", expires_at=until, subscription=ada,
    )  # fmt: skip

    first, again = (call(caller, "GrantCredit", request) for _ in range(2))

    assert first.grant == again.grant
    assert (first.grant.amount_cents, first.grant.left_cents) == (2000, 2000)
    assert (first.grant.priority, first.grant.expires_at) == (50, until)
    assert first.grant.subscription_id == ada
    assert caller.found("/v1/customers/ada/credit")["data"][0]["left"] == 2000
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ({"lines": [pb.LineToCredit(line=1, amount_cents=1000)]}, 900),
        ({"share": pb.ShareToCredit(part=1, whole=10)}, None),
        ({}, None),
    ],
    ids=["a line", "a share", "all"],
)
def test_a_credit_note_is_made_once_a_key(
    caller: Caller, ada: str, world: World, asked: dict[str, Any], total: int | None
) -> None:
    assert ada
    (invoice,) = caller.found("/v1/invoices")["data"]
    request = pb.CreateCreditNoteRequest(
        idempotency_key="n-1", invoice=invoice["number"],
        destination=pb.NOTE_DESTINATION_CREDIT, reason="x", **asked,
    )  # fmt: skip

    first, again = (call(caller, "CreateCreditNote", request) for _ in range(2))

    assert first.note == again.note
    assert first.note.invoice_number == invoice["number"]
    assert first.note.destination == pb.NOTE_DESTINATION_CREDIT
    assert first.note.total_cents == sum(each.net_cents for each in first.note.lines)
    assert total in (None, first.note.total_cents)
    assert (first.note.grant_id != "", first.note.refund_id) == (True, "")
    world.assert_everything_adds_up()


REFUSED: Sequence[tuple[str, Any, str]] = [
    ("Subscribe", order(currency="usd"), "currency"),
    ("Subscribe", order(plan=""), "plan"),
    ("Subscribe", order(items={"seats": -1}), "items.seats"),
    ("Subscribe", order(items={"no such code!": 1}), "items"),
    ("Subscribe", order(starts="2026-01-01T00:00:00Z"), "starts"),
    ("Subscribe", order(quantity=-1), "quantity"),
    ("QuoteChange", pb.QuoteChangeRequest(), "subscription"),
    ("MakeChange", pb.MakeChangeRequest(subscription="x", quote_digest="y"), "quote_digest"),
    ("RedeemCoupon", pb.RedeemCouponRequest(subscription="x"), "coupon"),
    ("Cancel", pb.CancelRequest(idempotency_key="k"), "subscription"),
    ("Cancel", pb.CancelRequest(subscription="x", on="someday"), "on"),
    (
        "Cancel",
        pb.CancelRequest(subscription="x", now=True, credit_note=pb.NOTE_DESTINATION_OUTSIDE),
        "credit_note",
    ),
    ("Pause", pb.PauseRequest(subscription="x", periods=-1), "periods"),
    ("Resume", pb.ResumeRequest(subscription="x", on="2026-01-01T00:00:00Z"), "on"),
    ("GrantCredit", pb.GrantCreditRequest(customer="x", currency="USD"), "amount"),
    ("CreateCreditNote", pb.CreateCreditNoteRequest(invoice="x"), "destination"),
    (
        "CreateCreditNote",
        pb.CreateCreditNoteRequest(
            invoice="x",
            destination=pb.NOTE_DESTINATION_CREDIT,
            lines=[pb.LineToCredit(line=0)],
            idempotency_key="k",
        ),
        "lines.0.line",
    ),
]


@pytest.mark.parametrize(
    ("name", "request_", "where"), REFUSED, ids=[f"{n} {w}" for n, _, w in REFUSED]
)
def test_what_can_not_be_taken_is_an_invalid_argument(
    caller: Caller, name: str, request_: Any, where: str
) -> None:
    code, ours, words = refusal(caller, name, request_)

    assert (code, ours) == (Code.INVALID_ARGUMENT, "invalid_request")
    assert words.startswith(where)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("Subscribe", order(idempotency_key="")),
        ("MakeChange", pb.MakeChangeRequest(subscription="x", order=pb.ChangeOrder(plan="p"))),
        ("RedeemCoupon", pb.RedeemCouponRequest(subscription="x", coupon="c")),
        ("Cancel", pb.CancelRequest(subscription="x")),
        ("Pause", pb.PauseRequest(subscription="x")),
        ("Resume", pb.ResumeRequest(subscription="x")),
        ("GrantCredit", pb.GrantCreditRequest(customer="x", amount_cents=1, currency="USD")),
        (
            "CreateCreditNote",
            pb.CreateCreditNoteRequest(invoice="x", destination=pb.NOTE_DESTINATION_CREDIT),
        ),
    ],
)
def test_what_changes_something_needs_a_key(caller: Caller, name: str, request_: Any) -> None:
    code, ours, _ = refusal(caller, name, request_)
    assert (code, ours) == (Code.INVALID_ARGUMENT, "idempotency_key_missing")


NEEDS = {
    "Subscribe": (Scope.CHARGE, pb.SubscribeRequest()),
    "QuoteChange": (Scope.READ, pb.QuoteChangeRequest()),
    "MakeChange": (Scope.CHARGE, pb.MakeChangeRequest()),
    "RedeemCoupon": (Scope.CHARGE, pb.RedeemCouponRequest()),
    "Cancel": (Scope.CHARGE, pb.CancelRequest()),
    "Pause": (Scope.CHARGE, pb.PauseRequest()),
    "Resume": (Scope.CHARGE, pb.ResumeRequest()),
    "GrantCredit": (Scope.REFUND, pb.GrantCreditRequest()),
    "CreateCreditNote": (Scope.REFUND, pb.CreateCreditNoteRequest()),
}


@pytest.mark.parametrize("name", NEEDS)
def test_a_call_needs_the_scope_that_it_has_over_http(shop: Shop, name: str) -> None:
    needed, request = NEEDS[name]
    other = shop.caller(*(scope for scope in Scope if scope not in (needed, Scope.ADMIN)))
    assert refusal(other, name, request)[0] == Code.PERMISSION_DENIED
    assert refusal(shop.caller(needed), name, request)[0] == Code.INVALID_ARGUMENT
