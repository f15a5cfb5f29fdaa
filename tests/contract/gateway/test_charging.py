"""Charges: what came of them, sent once or again, and looked up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Gateway,
    Outcome,
    PaymentMethodKind,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.capabilities import Replay
from billing.gateway.kinds import DeclineClass, PaymentStatus, RefusalReason
from billing.rules.money import Money
from tests.contract.gateway.worlds import BEGIN, DAY, Behaviour, ProviderWorld, When


def paid(outcome: Outcome | Absent) -> Succeeded:
    assert isinstance(outcome, Succeeded), outcome
    return replace(outcome, request_id=None)


def declined(outcome: Outcome | Absent) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return replace(outcome, request_id=None)


def test_each_kind_is_a_gateway_that_answers(world: ProviderWorld) -> None:
    gateway: Gateway = world.gateway

    gateway.check()


def test_a_charge_captures_its_amount(world: ProviderWorld) -> None:
    request = world.request()

    outcome = paid(world.gateway.charge(request, first_send=True))

    assert (outcome.amount, outcome.captured) == (request.amount, True)
    found = world.gateway.payment(outcome.provider_payment_id)
    assert found is not None
    assert (found.status, found.amount_received) == (PaymentStatus.CAPTURED, request.amount)
    assert found.customer == world.customer
    assert found.metadata["payment"] == "pay_1"
    assert world.captured() == 1


def test_an_authorisation_captures_nothing(world: ProviderWorld) -> None:
    outcome = paid(world.gateway.charge(world.request(manual_capture=True), first_send=True))

    found = world.gateway.payment(outcome.provider_payment_id)
    assert found is not None
    assert (outcome.captured, found.status) == (False, PaymentStatus.AUTHORIZED)
    assert (found.amount_received.amount, world.captured()) == (0, 0)


@pytest.mark.parametrize(
    ("behaviour", "expected"), [("soft", DeclineClass.SOFT), ("hard", DeclineClass.HARD)]
)
def test_a_decline_has_a_class_and_a_code_that_its_kind_knows(
    world: ProviderWorld, behaviour: Behaviour, expected: DeclineClass
) -> None:
    outcome = declined(world.gateway.charge(world.request(behaviour), first_send=True))

    assert outcome.decline_class is expected
    assert outcome.decline_code in world.kind.decline_codes
    assert world.captured() == 0


def test_the_next_attempt_after_a_decline_is_charged(world: ProviderWorld) -> None:
    no = declined(world.gateway.charge(world.request("soft_then_good"), first_send=True))
    second = world.request("soft_then_good", 2, provider_payment_id=no.provider_payment_id)
    if world.gateway.capabilities.holds_payment:
        second = replace(second, metadata=world.request("soft_then_good").metadata)

    yes = paid(world.gateway.charge(second, first_send=True))

    shared = yes.provider_payment_id == no.provider_payment_id
    assert shared is world.gateway.capabilities.holds_payment
    assert world.captured() == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_unknown_and_the_same_key_charges_once(
    world: ProviderWorld, when: When
) -> None:
    request = world.request()
    world.lose(when, "charge")

    first = world.gateway.charge(request, first_send=True)
    again = paid(world.gateway.charge(request, first_send=False))

    assert isinstance(first, Unknown)
    assert again.amount == request.amount
    assert paid(world.gateway.charge(request, first_send=False)) == again
    assert world.captured() == 1


def test_a_decline_whose_answer_was_lost_is_told_again(world: ProviderWorld) -> None:
    request = world.request("soft_then_good")
    world.lose("after", "charge")

    assert isinstance(world.gateway.charge(request, first_send=True), Unknown)
    again = declined(world.gateway.charge(request, first_send=False))

    assert again == declined(world.gateway.charge(request, first_send=False))
    assert world.captured() == 0


def test_the_key_of_another_request_never_charges(world: ProviderWorld) -> None:
    request = world.request()
    paid(world.gateway.charge(request, first_send=True))
    other = replace(request, amount=Money(1999, "USD"))

    assert isinstance(world.gateway.charge(other, first_send=True), Rejected)
    assert isinstance(world.gateway.charge(other, first_send=False), Unknown)
    assert world.captured() == 1


def test_a_repetition_tells_the_first_answer_or_the_present_state(world: ProviderWorld) -> None:
    request = world.request(manual_capture=True)
    first = paid(world.gateway.charge(request, first_send=True))
    assert world.gateway.cancel(first.provider_payment_id, idempotency_key="v") == Absent()

    again = world.gateway.charge(request, first_send=False)

    if world.gateway.capabilities.replay is Replay.FIRST_ANSWER:
        assert paid(again) == first
    else:
        assert isinstance(again, Rejected)
        assert again.reason is RefusalReason.PAYMENT_CANCELED


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
def test_a_currency_is_charged_exactly_or_not_at_all(world: ProviderWorld, currency: str) -> None:
    request = world.request(amount=Money(1230, currency))

    outcome = world.gateway.charge(request, first_send=True)

    if isinstance(outcome, Rejected):
        assert world.captured() == 0
    else:
        assert paid(outcome).amount == Money(1230, currency)


@pytest.mark.parametrize("amount", [0, -1, 10**12])
def test_an_amount_that_cannot_be_taken_is_refused(world: ProviderWorld, amount: int) -> None:
    outcome = world.gateway.charge(world.request(amount=Money(amount, "USD")), first_send=True)

    assert isinstance(outcome, Rejected)
    assert world.captured() == 0


def test_a_payment_method_that_is_not_there_waits_for_another(world: ProviderWorld) -> None:
    outcome = declined(
        world.gateway.charge(world.request(payment_method="none-of-that-name"), first_send=True)
    )

    assert outcome.decline_class is DeclineClass.NEEDS_CUSTOMER
    assert world.captured() == 0


def test_what_a_charge_is_for_is_read_back_whole(world: ProviderWorld) -> None:
    """A restored database learns from it which invoice to issue, and which request was answered."""
    words = " ".join(f"line-{n}" for n in range(62))
    told = {
        "payment": "pay_1",
        "attempt": "1",
        "request": f"issued 2026-01-01T00:00:00.000000+00:00 order {words}"[:500].strip(),
        "caller": f"{'a' * 64} {'k' * 290} ci",
    }
    request = world.request(metadata=told)

    made = paid(world.gateway.charge(request, first_send=True))

    found = world.gateway.payment(made.provider_payment_id)
    (charge,) = [c for page in world.gateway.list_charges(since=BEGIN - DAY) for c in page]
    assert found is not None
    assert found.metadata.items() >= told.items()
    assert charge.metadata.items() >= told.items()


# Looking up


def old_request(world: ProviderWorld, behaviour: Behaviour = "good") -> ChargeRequest:
    """Return a request whose answer was lost and whose key is forgotten by now."""
    request = world.request(behaviour)
    world.lose("after", "charge")
    assert isinstance(world.gateway.charge(request, first_send=True), Unknown)
    world.later(world.gateway.capabilities.key_max_age + 2 * DAY)
    return request


def test_a_charge_whose_key_is_forgotten_is_looked_up(world: ProviderWorld) -> None:
    request = old_request(world)

    found = paid(world.gateway.look_up(request, since=BEGIN))

    assert (found.amount, found.captured) == (request.amount, True)
    assert world.captured() == 1


def test_a_decline_whose_key_is_forgotten_is_looked_up(world: ProviderWorld) -> None:
    request = old_request(world, "hard")

    assert declined(world.gateway.look_up(request, since=BEGIN)).decline_class is DeclineClass.HARD


def test_what_was_never_executed_is_absent_in_the_end(world: ProviderWorld) -> None:
    request = world.request()
    world.lose("before", "charge")
    assert isinstance(world.gateway.charge(request, first_send=True), Unknown)

    young = world.gateway.look_up(request, since=BEGIN)
    world.later(world.gateway.capabilities.key_max_age + 2 * DAY)

    assert isinstance(young, Absent | Unknown)
    assert world.gateway.look_up(request, since=BEGIN) == Absent()
    assert world.captured() == 0


def test_a_payment_is_found_by_what_any_attempt_made(world: ProviderWorld) -> None:
    first = paid(world.gateway.charge(world.request(), first_send=True))
    other = world.request(n=2)

    found = paid(world.gateway.find_payment(other, since=BEGIN - DAY))

    assert found.provider_payment_id == first.provider_payment_id


def test_a_payment_of_another_name_is_not_found(world: ProviderWorld) -> None:
    paid(world.gateway.charge(world.request(), first_send=True))
    other = world.request(n=2, metadata={"payment": "pay_10", "key": "k"})

    assert world.gateway.find_payment(other, since=BEGIN - DAY) == Absent()


def test_a_payment_that_was_canceled_is_not_found(world: ProviderWorld) -> None:
    request = world.request(manual_capture=True)
    made = paid(world.gateway.charge(request, first_send=True))
    world.gateway.cancel(made.provider_payment_id, idempotency_key="v")

    assert world.gateway.find_payment(request, since=BEGIN - timedelta(hours=1)) == Absent()


def test_only_a_card_has_last_digits_and_an_expiry(world: ProviderWorld) -> None:
    method = world.method()

    is_card = method.kind is PaymentMethodKind.CARD
    assert (method.last4 is not None, method.exp_year is not None) == (is_card, is_card)
