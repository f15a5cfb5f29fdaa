"""The gateway charges PayPal at Stripe as it charges a card, and knows when it no longer may."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.gateway import (
    Absent,
    ChargeRequest,
    EventKind,
    PaymentMethodKind,
    RefundAccepted,
    RefundRequest,
    Rejected,
)
from billing.rules.dunning import DeclineClass
from billing.rules.money import Money
from billing.rules.reconciliation import MovementKind
from tests.contract.conftest import Shop
from tests.contract.gateway_world import KEY, SENT, World, declined, paid

SOFT, NEEDS_CUSTOMER, HARD = DeclineClass


@pytest.fixture
def world(shop: Shop) -> Iterator[World]:
    made = World(shop)
    yield made
    assert made.problems() == []


def wallet(world: World, steps: str = "", **changes: Any) -> ChargeRequest:
    return world.request(f"pm_sbx_paypal{steps and '_'}{steps}", **changes)


def later(request: ChargeRequest, intent: str | None, token: str, type_: str) -> ChargeRequest:
    return replace(
        request,
        idempotency_key=f"{request.idempotency_key}:later",
        provider_payment_id=intent,
        payment_method=token,
        method_type=type_,
    )


def test_an_attached_wallet_is_known_by_its_name_alone(world: World) -> None:
    kept = world.gateway.attach_payment_method(world.customer, "pm_sbx_paypal", idempotency_key="w")

    assert (kept.kind, kept.brand) == (PaymentMethodKind.WALLET, "paypal")
    assert (kept.last4, kept.exp_month, kept.exp_year) == (None, None, None)
    assert kept.provider_customer_id == world.customer
    assert world.gateway.payment_method_by_id(kept.token) == kept
    assert world.gateway.payment_methods_of(world.customer) == [kept]
    assert "@" not in repr(kept)


def test_a_charge_names_the_type_of_its_payment_method(world: World) -> None:
    outcome = paid(world.gateway.charge(wallet(world), first_send=True))

    _, _, pairs, _ = world.recorder.sent[-1]
    assert dict(pairs)["payment_method_types[0]"] == "paypal"
    assert outcome.amount == Money(999, "USD")
    assert str(outcome.provider_charge_id).startswith("py_")


def test_a_request_is_sent_again_as_it_was(world: World) -> None:
    request = wallet(world)
    world.shop.fault("reset_after_commit", match={"path": "/v1/payment_intents"})
    world.gateway.charge(request, first_send=True)

    again = paid(world.gateway.charge(request, first_send=False))

    first, second = [sent for sent in world.recorder.sent if sent[1] == "/v1/payment_intents"]
    assert first[2] == second[2]
    assert again.captured
    assert world.captures() == 1


def test_an_old_attempt_with_a_wallet_is_looked_up(world: World) -> None:
    request = wallet(world)
    before = world.gateway.look_up(request, since=SENT)
    made = paid(world.gateway.charge(request, first_send=True))

    world.at(SENT + timedelta(days=2))

    assert isinstance(before, Absent)
    assert paid(world.gateway.look_up(request, since=SENT)) == replace(made, request_id=None)


@pytest.mark.parametrize(
    ("steps", "code", "expected"),
    [
        ("declined", "payment_method_provider_decline", SOFT),
        ("insufficient_funds", "insufficient_funds", SOFT),
        ("generic_decline", "partner_generic_decline", SOFT),
        ("timeout", "payment_method_provider_timeout", SOFT),
        ("unavailable", "payment_method_not_available", SOFT),
        ("limit_exceeded", "payment_limit_exceeded", NEEDS_CUSTOMER),
        ("customer_declined", "payment_method_customer_decline", NEEDS_CUSTOMER),
        ("agreement_ended", "invalid_billing_agreement", NEEDS_CUSTOMER),
        ("mandate_revoked", "payment_intent_mandate_invalid", NEEDS_CUSTOMER),
        ("high_risk", "partner_high_risk_customer", HARD),
    ],
)
def test_each_decline_of_a_wallet_has_its_class(
    world: World, steps: str, code: str, expected: DeclineClass
) -> None:
    no = declined(world.gateway.charge(wallet(world, steps), first_send=True))

    assert (no.decline_code, no.decline_class, no.advice) == (code, expected, None)
    assert world.captures() == 0


def test_a_declined_wallet_is_found_in_the_lists(world: World) -> None:
    request = wallet(world, "declined")
    declined(world.gateway.charge(request, first_send=True))

    found = declined(world.gateway.look_up(request, since=SENT))
    ((charge,),) = world.gateway.list_charges(since=SENT)

    assert found.decline_code == "payment_method_provider_decline"
    assert (charge.succeeded, charge.decline_code) == (False, "payment_method_provider_decline")


@pytest.mark.parametrize("types", [("paypal", "card"), ("card", "paypal")])
def test_a_payment_goes_on_with_a_method_of_another_type(
    world: World, types: tuple[str, str]
) -> None:
    tokens = {
        "card": ("pm_sbx_insufficient", "pm_card_visa"),
        "paypal": ("pm_sbx_paypal_declined", "pm_sbx_paypal"),
    }
    first = replace(world.request(tokens[types[0]][0]), method_type=types[0])
    no = declined(world.gateway.charge(first, first_send=True))
    new = world.gateway.attach_payment_method(
        world.customer, tokens[types[1]][1], idempotency_key="new"
    )
    second = later(first, no.provider_payment_id, new.token, types[1])

    yes = paid(world.gateway.charge(second, first_send=True))

    assert yes.provider_payment_id == no.provider_payment_id
    assert world.captures() == 1


def test_a_currency_that_the_wallet_does_not_take_is_declined_unsent(world: World) -> None:
    request = wallet(world, amount=Money(1200, "JPY"))
    sent = len(world.recorder.sent)

    no = declined(world.gateway.charge(request, first_send=True))

    assert (no.decline_code, no.decline_class) == ("currency_not_supported", NEEDS_CUSTOMER)
    assert "paypal takes no JPY" in no.message
    assert len(world.recorder.sent) == sent


def test_a_wallet_charged_as_a_card_is_a_fault_of_ours(world: World) -> None:
    outcome = world.gateway.charge(wallet(world, method_type=None), first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "payment_intent_incompatible_payment_method"


def test_a_wallet_is_authorised_and_captured(world: World) -> None:
    held = paid(world.gateway.charge(wallet(world, manual_capture=True), first_send=True))

    done = paid(
        world.gateway.capture(held.provider_payment_id, Money(400, "USD"), idempotency_key="cap")
    )

    assert (held.captured, done.captured, done.amount) == (False, True, Money(400, "USD"))


def test_an_event_of_a_mandate_leads_to_a_payment_method_that_is_nobodys(world: World) -> None:
    request = wallet(world)
    token = request.payment_method
    world.shop.control("POST", f"payment_methods/{token}/revoke")

    ((event, *_),) = world.gateway.list_events(since=SENT)
    found = world.gateway.payment_method_by_id(event.object_id)

    assert (event.type, event.kind) == ("mandate.updated", EventKind.PAYMENT_METHOD_UPDATED)
    assert found is not None
    assert (found.token, found.brand) == (token, "paypal")
    assert found.provider_customer_id is None
    no = declined(world.gateway.charge(request, first_send=True))
    assert no.decline_code == "payment_intent_mandate_invalid"


def test_the_money_of_a_wallet_is_read_as_that_of_a_card(world: World) -> None:
    made = paid(world.gateway.charge(wallet(world, "dispute"), first_send=True))
    refund = RefundRequest("r1", made.provider_payment_id, Money(99, "USD"), {"refund": "1"})
    world.at(SENT + timedelta(minutes=1))

    refused = world.gateway.refund(refund, first_send=True)
    ((dispute,),) = world.gateway.list_disputes(since=SENT)
    other = replace(wallet(world), idempotency_key=f"{KEY}:2", metadata={"payment": "pay_2"})
    second = paid(world.gateway.charge(other, first_send=True))
    accepted = world.gateway.refund(
        replace(refund, idempotency_key="r2", provider_payment_id=second.provider_payment_id),
        first_send=True,
    )
    pages = world.gateway.list_balance_transactions(since=SENT)
    movements = [each for page in pages for each in page]

    assert isinstance(refused, Rejected)
    assert isinstance(accepted, RefundAccepted)
    assert (dispute.reason, dispute.amount) == ("product_not_received", Money(999, "USD"))
    charge = second.provider_charge_id
    assert [(each.kind, each.amount, each.provider_charge_id) for each in movements] == [
        (MovementKind.REFUND, -99, charge),
        (MovementKind.CHARGE, 999, charge),
        (MovementKind.DISPUTE, -999, made.provider_charge_id),
        (MovementKind.CHARGE, 999, made.provider_charge_id),
    ]
    assert {each.customer_money for each in movements} == {
        Money(-99, "USD"), Money(999, "USD"), Money(-999, "USD"),
    }  # fmt: skip
