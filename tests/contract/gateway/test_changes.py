"""Captures and cancellations of authorised payments, once or again."""

from billing.gateway import Absent, Rejected, Succeeded, Unknown
from billing.gateway.kinds import RefusalReason
from billing.rules.money import Money
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.worlds import ProviderWorld

WHOLE, PART = Money(999, "USD"), Money(400, "USD")


def authorised(world: ProviderWorld) -> str:
    request = world.request(manual_capture=True)
    return paid(world.gateway.charge(request, first_send=True)).provider_payment_id


def test_an_authorisation_is_captured_once_however_often_it_is_asked_for(
    world: ProviderWorld,
) -> None:
    payment = authorised(world)

    first = paid(world.gateway.capture(payment, WHOLE, idempotency_key="k1"))
    again = paid(world.gateway.capture(payment, WHOLE, idempotency_key="k1"))
    under_another = paid(world.gateway.capture(payment, WHOLE, idempotency_key="k2"))

    assert {each.amount for each in (first, again, under_another)} == {WHOLE}
    assert {each.captured for each in (first, again, under_another)} == {True}
    assert world.captured() == 1


def test_a_part_is_captured_and_the_rest_lapses(world: ProviderWorld) -> None:
    payment = authorised(world)

    outcome = paid(world.gateway.capture(payment, PART, idempotency_key="k"))

    found = world.gateway.payment(payment)
    assert found is not None
    assert (outcome.amount, found.amount_received, found.amount) == (PART, PART, WHOLE)
    assert paid(world.gateway.capture(payment, PART, idempotency_key="k2")).amount == PART


def test_another_amount_than_the_captured_one_is_in_doubt(world: ProviderWorld) -> None:
    payment = authorised(world)
    paid(world.gateway.capture(payment, PART, idempotency_key="k"))

    outcome = world.gateway.capture(payment, WHOLE, idempotency_key="k2")

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "wrong_amount"


def test_more_than_was_authorised_is_refused(world: ProviderWorld) -> None:
    payment = authorised(world)

    outcome = world.gateway.capture(payment, Money(1000, "USD"), idempotency_key="k")

    assert isinstance(outcome, Rejected)
    assert world.captured() == 0


def test_a_capture_whose_answer_was_lost_is_found_out_by_asking_again(
    world: ProviderWorld,
) -> None:
    payment = authorised(world)
    world.lose("after", "capture")

    first = world.gateway.capture(payment, PART, idempotency_key="k")

    assert isinstance(first, Unknown)
    assert paid(world.gateway.capture(payment, PART, idempotency_key="k")).amount == PART
    assert world.captured() == 1


def test_a_canceled_authorisation_stays_canceled(world: ProviderWorld) -> None:
    payment = authorised(world)

    assert world.gateway.cancel(payment, idempotency_key="k") == Absent()
    assert world.gateway.cancel(payment, idempotency_key="k") == Absent()
    assert world.gateway.cancel(payment, idempotency_key="k2") == Absent()
    capture = world.gateway.capture(payment, WHOLE, idempotency_key="k3")
    assert isinstance(capture, Rejected)
    assert capture.reason is RefusalReason.PAYMENT_CANCELED


def test_a_cancellation_whose_answer_was_lost_is_found_out_by_asking_again(
    world: ProviderWorld,
) -> None:
    payment = authorised(world)
    world.lose("after", "cancel")

    assert isinstance(world.gateway.cancel(payment, idempotency_key="k"), Unknown)
    assert world.gateway.cancel(payment, idempotency_key="k") == Absent()


def test_what_was_captured_is_not_canceled(world: ProviderWorld) -> None:
    payment = paid(world.gateway.charge(world.request(), first_send=True))

    outcome = world.gateway.cancel(payment.provider_payment_id, idempotency_key="k")

    assert isinstance(outcome, Succeeded)
    assert outcome.captured
    assert world.captured() == 1
