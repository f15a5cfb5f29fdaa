"""Declines arrive as the SDK's CardError with Stripe's codes, and leave their traces."""

import pytest
import stripe

from tests.contract.cards import captures, charge, customer_with, declined

LATER, CARD_DATA, NEVER = "try_again_later", "confirm_card_data", "do_not_try_again"


@pytest.mark.parametrize(
    ("token", "code", "decline_code", "advice_code"),
    [
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline", LATER),
        (
            "pm_card_authenticationRequired",
            "authentication_required",
            "authentication_required",
            None,
        ),
        ("pm_sbx_decline", "card_declined", "generic_decline", LATER),
        ("pm_sbx_insufficient_funds", "card_declined", "insufficient_funds", LATER),
        ("pm_sbx_do_not_honor", "card_declined", "do_not_honor", LATER),
        ("pm_sbx_try_again_later", "card_declined", "try_again_later", LATER),
        ("pm_sbx_card_velocity_exceeded", "card_declined", "card_velocity_exceeded", LATER),
        ("pm_sbx_processing_error", "processing_error", "processing_error", LATER),
        ("pm_sbx_expired", "expired_card", "expired_card", CARD_DATA),
        ("pm_sbx_incorrect_cvc", "incorrect_cvc", "incorrect_cvc", CARD_DATA),
        ("pm_sbx_confirm_card_data", "card_declined", "generic_decline", CARD_DATA),
        ("pm_sbx_lost_card", "card_declined", "lost_card", NEVER),
        ("pm_sbx_stolen_card", "card_declined", "stolen_card", NEVER),
        ("pm_sbx_pickup_card", "card_declined", "pickup_card", NEVER),
        ("pm_sbx_do_not_try_again", "card_declined", "generic_decline", NEVER),
        ("pm_sbx_no_advice", "card_declined", "generic_decline", None),
        ("pm_sbx_needs_authentication", "authentication_required", "authentication_required", None),
    ],
)
def test_each_card_declines_with_its_codes(
    client: stripe.StripeClient,
    token: str,
    code: str,
    decline_code: str,
    advice_code: str | None,
) -> None:
    customer, method = customer_with(client, token)

    error = declined(client, customer, method)

    assert (error.code, error.decline_code) == (code, decline_code)
    assert getattr(error, "advice_code", None) == advice_code
    assert error.payment_intent.status == "requires_payment_method"


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ],
)
def test_stripes_declining_cards_cannot_be_attached_but_can_be_charged(
    client: stripe.StripeClient, token: str, code: str, decline_code: str | None
) -> None:
    customer = client.v1.customers.create({})

    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.attach(token, {"customer": customer.id})
    error = declined(client, customer.id, token)

    assert caught.value.code == code
    assert (error.code, getattr(error, "decline_code", None)) == (code, decline_code)


def test_a_decline_leaves_a_failed_charge_and_an_error_on_the_intent(
    client: stripe.StripeClient,
) -> None:
    customer, method = customer_with(client, "pm_sbx_insufficient_funds")

    error = declined(client, customer, method)

    intent = client.v1.payment_intents.retrieve(error.payment_intent.id)
    failed = client.v1.charges.list({"payment_intent": intent.id}).data[0]
    assert failed.id == error.charge == intent.latest_charge
    assert (failed.status, failed.failure_code) == ("failed", "card_declined")
    assert failed.outcome is not None
    assert (failed.outcome.reason, failed.outcome.advice_code) == ("insufficient_funds", LATER)
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "insufficient_funds"
    assert intent.payment_method is None
    types = [event.type for event in client.v1.events.list({"limit": 2}).data]
    assert types == ["payment_intent.payment_failed", "charge.failed"]
    assert client.v1.balance_transactions.list().data == []


@pytest.mark.parametrize(
    ("token", "outcomes"),
    [
        ("pm_sbx_decline_3_then_ok", ["generic_decline"] * 3 + ["ok", "ok"]),
        ("pm_sbx_insufficient_2_then_ok", ["insufficient_funds"] * 2 + ["ok"]),
        ("pm_sbx_processing_error_1_then_ok", ["processing_error", "ok"]),
        ("pm_sbx_ok_2_then_lost_card", ["ok", "ok", "lost_card", "lost_card"]),
        (
            "pm_sbx_decline_then_insufficient_funds_2_then_ok",
            ["generic_decline", "insufficient_funds", "insufficient_funds", "ok"],
        ),
    ],
)
def test_a_payment_method_walks_through_its_steps(
    client: stripe.StripeClient, token: str, outcomes: list[str]
) -> None:
    customer, method = customer_with(client, token)

    seen = [_outcome(client, customer, method) for _ in outcomes]

    assert seen == outcomes


def _outcome(client: stripe.StripeClient, customer: str, method: str) -> str:
    try:
        charge(client, customer, method)
    except stripe.CardError as error:
        return str(error.error.decline_code)  # type: ignore[union-attr]
    return "ok"


def test_steps_are_counted_for_each_attached_payment_method(client: stripe.StripeClient) -> None:
    first = customer_with(client, "pm_sbx_decline_1_then_ok")
    second = customer_with(client, "pm_sbx_decline_1_then_ok")

    outcomes = [_outcome(client, *who) for who in (first, second, first, second)]

    assert outcomes == ["generic_decline", "generic_decline", "ok", "ok"]


@pytest.mark.parametrize(
    "token",
    ["pm_sbx_", "pm_sbx_nonsense", "pm_sbx_decline_2", "pm_sbx_ok_0_then_decline", "pm_card_no"],
)
def test_a_token_that_makes_no_sense_does_not_exist(
    client: stripe.StripeClient, token: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        customer_with(client, token)


def test_a_declined_intent_is_confirmed_again_and_succeeds_once(
    client: stripe.StripeClient,
) -> None:
    customer, method = customer_with(client, "pm_sbx_decline_1_then_ok")
    intent = declined(client, customer, method).payment_intent.id
    again = {"payment_method": method, "off_session": True}

    paid = client.v1.payment_intents.confirm(intent, again)  # type: ignore[arg-type]

    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(intent, again)  # type: ignore[arg-type]
    assert (caught.value.http_status, caught.value.code) == (400, "payment_intent_unexpected_state")
    assert captures(client) == 1
