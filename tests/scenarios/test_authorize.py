"""Charges without an invoice: made at once, or authorised now and captured, voided or expired."""

from uuid import UUID

import pytest

from billing.errors import BadInput, Conflict
from billing.flows.customers import customers
from billing.flows.payments import authorization_outcomes, authorization_sending, authorizations
from billing.flows.payments.authorization_sending import AuthorizationStep
from billing.flows.subscriptions import retrying
from billing.gateway import Absent, Declined, Outcome, Rejected, Unknown
from billing.rules.actor import Actor, ActorKind
from billing.rules.dunning import DeclineClass
from billing.rules.money import Money
from billing.rules.payments import CallKind
from billing.store.payments import attempts, payment_history
from billing.store.payments.provider_calls import ProviderCall
from tests import provider_calls
from tests.scenarios.money import balances, give_back, one_off, payment_row, usd
from tests.scenarios.world import World, decision_of


def authorised(world: World, amount: Money | None = None) -> UUID:
    payment_id = one_off(world, amount or usd(5000), capture_method="manual")
    world.settle()
    assert payment_row(world, payment_id).state == "AUTHORIZED"
    return payment_id


def capture(world: World, payment_id: UUID, amount: Money | None = None) -> None:
    with world.engine.begin() as conn:
        authorizations.request_capture(
            conn, payment_id, amount=amount, now=world.now, actor=Actor(ActorKind.CLI, "operator")
        )


def void(world: World, payment_id: UUID) -> None:
    with world.engine.begin() as conn:
        authorizations.request_void(
            conn, payment_id, now=world.now, actor=Actor(ActorKind.CLI, "operator"), why="sold out"
        )


def causes(world: World, payment_id: UUID) -> list[tuple[str, str]]:
    with world.engine.connect() as conn:
        return [(row.to_state, row.cause) for row in payment_history.transitions(conn, payment_id)]


# --- at once ------------------------------------------------------------------------------------


def test_a_charge_without_an_invoice_is_owed_paid_and_earned_at_once(world: World) -> None:
    payment_id = one_off(world, usd(5000))
    world.settle()

    assert payment_row(world, payment_id).state == "CAPTURED"
    assert balances(world) == {"psp_clearing": 5000, "revenue": -5000}
    assert (world.entries("one_off_charged"), world.entries("payment_captured")) == (1, 1)
    world.assert_everything_adds_up()


def test_its_decline_is_final(world: World) -> None:
    """There is no ladder: whoever asked for the charge gets the answer and decides."""
    payment_id = one_off(world, usd(5000), card="pm_card_chargeCustomerFail")
    world.settle()
    world.run_until("2026-02-01")

    row = payment_row(world, payment_id)
    assert (row.state, row.decline_code, row.next_attempt_at) == ("FAILED", "generic_decline", None)
    assert causes(world, payment_id) == [("FAILED", "outcome")]
    with world.engine.connect() as conn:
        assert len(attempts.of_payment(conn, payment_id)) == 1
    with pytest.raises(Conflict, match="its answer is final"):
        retrying.retry(
            world.engine,
            payment_id,
            now=world.now,
            actor=Actor(ActorKind.CLI, "operator"),
            why="again",
        )
    assert balances(world) == {}
    world.assert_everything_adds_up()


def test_it_is_charged_to_the_card_it_names_and_not_to_the_customers_usual_one(
    world: World,
) -> None:
    payment_id = one_off(world, usd(5000), card="pm_card_chargeCustomerFail")
    customer = payment_row(world, payment_id).customer_id
    customers.set_payment_method(world.context(), str(customer), "pm_card_visa")
    world.settle()

    assert payment_row(world, payment_id).state == "FAILED"


@pytest.mark.parametrize("kind", ["reset_after_commit", "error_500", "truncated_body"])
def test_a_lost_answer_charges_it_once(world: World, kind: str) -> None:
    payment_id = one_off(world, usd(5000))
    world.psp.fault(kind, times=2)
    world.settle()

    assert payment_row(world, payment_id).state == "CAPTURED"
    world.assert_everything_adds_up()


# --- authorise, then capture --------------------------------------------------------------------


def test_an_authorisation_holds_the_money_and_posts_nothing(world: World) -> None:
    payment_id = authorised(world)

    row = payment_row(world, payment_id)
    assert f"{row.authorized_until:%Y-%m-%d}" == "2026-01-08"
    assert row.amount_captured == 0
    assert balances(world) == {}
    assert world.psp.captured() == {}
    world.assert_everything_adds_up()


def test_the_whole_is_captured(world: World) -> None:
    payment_id = authorised(world)

    capture(world, payment_id)
    capture(world, payment_id)  # asking again for the same is no other capture
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, row.amount_captured) == ("CAPTURED", 5000)
    assert causes(world, payment_id) == [("AUTHORIZED", "outcome"), ("CAPTURED", "outcome")]
    assert balances(world) == {"psp_clearing": 5000, "revenue": -5000}
    world.assert_everything_adds_up()


def test_a_part_is_captured_and_the_rest_is_free(world: World) -> None:
    payment_id = authorised(world)

    capture(world, payment_id, usd(1800))
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, row.amount, row.amount_captured) == ("CAPTURED", 5000, 1800)
    assert balances(world) == {"psp_clearing": 1800, "revenue": -1800}
    give_back(world, payment_id)
    world.settle()
    assert payment_row(world, payment_id).state == "REFUNDED", "all that was captured"
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        (usd(5001), "can't be captured"),
        (usd(0), "can't be captured"),
        (Money(100, "EUR"), "authorised in USD"),
    ],
)
def test_an_amount_that_was_not_authorised_is_refused(
    world: World, amount: Money, says: str
) -> None:
    payment_id = authorised(world)

    with pytest.raises(BadInput, match=says):
        capture(world, payment_id, amount)


def test_two_captures_of_different_amounts_are_refused(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id, usd(100))

    with pytest.raises(Conflict, match=r"capture of 1\.00 USD is under way"):
        capture(world, payment_id, usd(200))
    with pytest.raises(Conflict, match="is being captured"):
        void(world, payment_id)


def test_what_is_not_authorised_is_neither_captured_nor_voided(world: World) -> None:
    payment_id = one_off(world, usd(5000))
    world.settle()

    with pytest.raises(Conflict, match="is CAPTURED, not authorised"):
        capture(world, payment_id)
    with pytest.raises(Conflict, match="is CAPTURED, not authorised"):
        void(world, payment_id)


CAPTURING = {"method": "POST", "path": "/v1/payment_intents"}


@pytest.mark.parametrize(
    "kind", ["reset_before", "reset_after_commit", "error_500", "garbage_200", "rate_limit_429"]
)
def test_a_capture_whose_answer_was_lost_is_made_once(world: World, kind: str) -> None:
    payment_id = authorised(world)
    world.psp._control("POST", "faults", kind=kind, times=2, match=CAPTURING)

    capture(world, payment_id, usd(1800))
    world.settle()

    assert payment_row(world, payment_id).amount_captured == 1800
    assert world.psp.captured() == {"USD": 1800}
    world.assert_everything_adds_up()


def test_a_worker_that_dies_after_the_capture_leaves_it_to_the_next(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    step = begun(world, payment_id)
    authorization_sending.attempt(world.context(), step)

    world.jump_to("2026-01-03")  # the provider has forgotten the key as well
    world.wait(world.policy.lease)
    world.settle()

    assert payment_row(world, payment_id).state == "CAPTURED"
    world.assert_everything_adds_up()


def begun(world: World, payment_id: UUID) -> AuthorizationStep:
    step = authorization_sending.begin(world.context(), payment_id)
    assert step is not None
    return step


def finish(world: World, step: AuthorizationStep, outcome: Outcome | Absent) -> str:
    return str(authorization_outcomes.finish(world.context(), step, outcome))


def test_a_capture_that_is_declined_fails_the_payment(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)

    assert (
        finish(world, begun(world, payment_id), Declined("generic_decline", DeclineClass.SOFT))
        == "FAILED"
    )

    assert (
        decision_of(payment_row(world, payment_id)) == "the capture was declined: generic_decline"
    )


def test_a_capture_that_is_refused_leaves_the_authorisation(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)

    refusal = Rejected("amount_too_large", "no")
    assert finish(world, begun(world, payment_id), refusal) == "AUTHORIZED"

    row = payment_row(world, payment_id)
    assert (row.next_attempt_kind, row.next_attempt_at) == ("void", row.authorized_until)
    capture(world, payment_id)
    world.settle()
    assert payment_row(world, payment_id).state == "CAPTURED"
    world.assert_everything_adds_up()


def test_what_the_provider_remembers_of_a_refused_capture_does_not_bind_the_next(
    world: World,
) -> None:
    payment_id = authorised(world)
    capture(world, payment_id, usd(4000))
    step = begun(world, payment_id)
    refused = world.gateway.capture(
        step.provider_payment_id, usd(9000), idempotency_key=step.idempotency_key
    )
    assert isinstance(refused, Rejected)
    finish(world, step, refused)

    capture(world, payment_id, usd(1000))
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, row.amount_captured) == ("CAPTURED", 1000)
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    "late",
    [Rejected("amount_too_large", "no"), Unknown("timeout", "no answer")],
    ids=["refused", "unanswered"],
)
def test_a_late_answer_to_a_capture_that_was_refused_leaves_the_next_one_alone(
    world: World, late: Outcome
) -> None:
    payment_id = authorised(world)
    capture(world, payment_id, usd(4000))
    first = begun(world, payment_id)
    finish(world, first, Rejected("amount_too_large", "no"))
    capture(world, payment_id, usd(1000))
    second = begun(world, payment_id)
    outcome = authorization_sending.attempt(world.context(), second)
    leased_until = payment_row(world, payment_id).lease_until

    finish(world, first, late)

    row = payment_row(world, payment_id)
    assert (row.next_attempt_kind, row.capture_amount) == ("capture", 1000)
    assert row.lease_until == leased_until, "nobody else sends what is being sent"
    assert finish(world, second, outcome) == "CAPTURED"
    assert [(call.n, str(call.outcome)) for call in captures(world, payment_id)] == [
        (1, "rejected"),
        (2, "succeeded"),
    ]
    world.assert_everything_adds_up()


def captures(world: World, payment_id: UUID) -> list[ProviderCall]:
    with world.engine.connect() as conn:
        calls = provider_calls.of_subject(conn, payment_id)
    return [call for call in calls if call.kind is CallKind.CAPTURE]


def test_another_amount_captured_at_the_provider_parks_the_payment(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)

    finish(world, begun(world, payment_id), Unknown("wrong_amount", "40.00 USD was captured"))

    row = payment_row(world, payment_id)
    assert (row.state, row.parked_reason) == ("AUTHORIZED", "amount_mismatch")
    assert [found.kind for found in world.breaks()] == ["amount_mismatch"]


# --- void and expiry ----------------------------------------------------------------------------


def test_a_void_gives_the_money_free(world: World) -> None:
    payment_id = authorised(world)

    void(world, payment_id)
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, decision_of(row)) == ("FAILED", "voided by cli:operator: sold out")
    assert causes(world, payment_id)[-1] == ("FAILED", "void")
    assert balances(world) == {}
    world.assert_everything_adds_up()


def test_what_was_not_sent_yet_is_voided_at_once(world: World) -> None:
    payment_id = one_off(world, usd(5000), capture_method="manual")

    void(world, payment_id)
    world.settle()

    assert payment_row(world, payment_id).state == "FAILED"
    assert world.psp.sends() == 0


def test_an_authorisation_that_nobody_captures_expires(world: World) -> None:
    payment_id = authorised(world)

    world.run_until("2026-01-07 23:59")
    assert payment_row(world, payment_id).state == "AUTHORIZED"
    world.run_until("2026-01-08")

    assert payment_row(world, payment_id).state == "FAILED"
    assert causes(world, payment_id)[-1] == ("FAILED", "expired")
    with pytest.raises(Conflict, match="is FAILED, not authorised"):
        capture(world, payment_id)
    world.assert_everything_adds_up()


def test_a_void_that_comes_too_late_finds_the_capture(world: World) -> None:
    """Somebody captured it in the dashboard: the money is ours, and in the books."""
    payment_id = authorised(world)
    intent = payment_row(world, payment_id).provider_payment_id
    world.psp.post(f"payment_intents/{intent}/capture")

    void(world, payment_id)
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, row.amount_captured) == ("CAPTURED", 5000)
    assert "before it could be voided" in decision_of(row)
    world.assert_everything_adds_up()


def test_an_authorisation_canceled_at_the_provider_is_gone(world: World) -> None:
    payment_id = authorised(world)
    intent = payment_row(world, payment_id).provider_payment_id
    world.psp.post(f"payment_intents/{intent}/cancel")

    capture(world, payment_id)
    world.settle()

    assert payment_row(world, payment_id).state == "FAILED"
    assert "the authorisation is gone" in decision_of(payment_row(world, payment_id))
    world.assert_everything_adds_up()


def test_an_authorisation_that_lapsed_before_its_answer_was_known_is_not_made_again(
    world: World,
) -> None:
    """Whoever asked for it decides: nobody's card is held up a second time by itself."""
    payment_id = one_off(world, usd(5000), capture_method="manual")
    world.psp.fault("reset_after_commit")
    world.tick()
    assert payment_row(world, payment_id).state == "CREATED"

    world.jump_to("2026-01-12")  # the provider has forgotten the key as well
    assert [each["status"] for each in world.psp.payments()] == ["canceled"]
    world.wait(world.policy.lease)
    world.settle()

    row = payment_row(world, payment_id)
    assert (row.state, row.next_attempt_at) == ("FAILED", None)
    assert "the authorisation is gone" in decision_of(row)
    assert world.psp.sends() == 1
    world.assert_everything_adds_up()
