"""Giving money back: in whole, in parts, through lost answers, and when it comes back again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.errors import BadInput, Conflict, NotFound
from billing.flows.refunds import refund_updates, requesting
from billing.flows.refunds import sending as refund_sending
from billing.flows.refunds.requesting import NotRefundable
from billing.flows.refunds.sending import RefundSend
from billing.gateway import Absent, Deferred, RefundAccepted, RefundStatus, Rejected, Unknown
from billing.ids import new_id
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.rules.payments import AttemptOutcome
from tests.scenarios.money import (
    apply_events_of_refund,
    at_provider,
    balances,
    calls_of,
    fail_at_provider,
    give_back,
    last_call,
    one_off,
    paid,
    payment_row,
    refund_row,
    refund_state,
    settings,
    usd,
)
from tests.scenarios.world import World, at
from tests.waiting import PATIENCE


def test_a_full_refund_takes_everything_back(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)

    asked = give_back(world, payment.id)
    assert balances(world)["refund_payable"] == -3100, "promised, not paid yet"
    world.settle()

    assert refund_state(world, asked) == "succeeded"
    assert payment_row(world, payment.id).state == "REFUNDED"
    assert [entry["amount"] for entry in at_provider(world, payment.id)] == [3100]
    assert balances(world) == {}, "nothing was earned, nothing is held"
    world.assert_everything_adds_up()


def test_nothing_of_it_is_earned_later(world: World) -> None:
    subscriber = paid(world)
    give_back(world, world.payment(subscriber).id)
    world.settle()

    world.run_until("2026-01-31 12:00")
    world.close_books()

    assert world.entries("revenue_recognized") == 0
    world.assert_everything_adds_up()


def test_several_partial_refunds_add_up_to_the_whole(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)

    for amount in (1000, 1, 999):
        give_back(world, payment.id, usd(amount))
        world.settle()
        assert payment_row(world, payment.id).state == "CAPTURED", "a part keeps the state"
    give_back(world, payment.id)
    world.settle()

    assert [row["amount"] for row in at_provider(world, payment.id)][::-1] == [1000, 1, 999, 1100]
    assert payment_row(world, payment.id).state == "REFUNDED"
    assert balances(world) == {}
    world.assert_everything_adds_up()


def test_more_than_is_left_is_refused(world: World) -> None:
    payment = world.payment(paid(world))
    give_back(world, payment.id, usd(3000))

    with pytest.raises(NotRefundable, match=r"1\.00 USD can be refunded, not 1\.01 USD"):
        give_back(world, payment.id, usd(101))
    give_back(world, payment.id, usd(100))
    with pytest.raises(NotRefundable, match="nothing is left"):
        give_back(world, payment.id)
    world.settle()

    assert len(at_provider(world, payment.id)) == 2
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        (usd(0), "more than nothing"),
        (usd(-5), "more than nothing"),
        (Money(5, "EUR"), "made in USD"),
    ],
)
def test_an_amount_that_makes_no_sense_is_refused(world: World, amount: Money, says: str) -> None:
    payment = world.payment(paid(world))

    with pytest.raises(BadInput, match=says):
        give_back(world, payment.id, amount)

    assert payment_row(world, payment.id).amount_refunded == 0


def test_what_was_not_captured_is_not_refunded(world: World) -> None:
    subscriber = world.subscribed("video-premium", card="pm_card_chargeCustomerFail")
    world.settle()

    with pytest.raises(NotRefundable, match="nothing was captured"):
        give_back(world, world.payment(subscriber).id)
    with pytest.raises(NotFound, match="no payment"):
        give_back(world, new_id())


def test_a_card_number_is_not_a_reason(world: World) -> None:
    payment = world.payment(paid(world))

    with world.engine.begin() as conn, pytest.raises(BadInput, match="card number"):
        requesting.request(
            conn,
            payment.id,
            reason="4242 4242 4242 4242",
            actor=Actor(ActorKind.CLI, "operator"),
            now=world.now,
        )


def test_asking_again_under_the_same_id_is_one_refund(world: World) -> None:
    payment = world.payment(paid(world))
    own_id = new_id()

    first = give_back(world, payment.id, usd(500), refund_id=own_id)
    assert give_back(world, payment.id, usd(500), refund_id=own_id) == first == own_id
    with pytest.raises(Conflict, match="gives back something else"):
        give_back(world, payment.id, usd(501), refund_id=own_id)
    world.settle()

    assert [row["amount"] for row in at_provider(world, payment.id)] == [500]
    world.assert_everything_adds_up()


def test_200_requests_at_once_never_give_back_more_than_was_captured(world: World) -> None:
    """Each asks for 1.00 of 31.00: 31 get it, whatever the order."""
    payment = world.payment(paid(world))

    def ask(_: int) -> UUID | None:
        try:
            return give_back(world, payment.id, usd(100))
        except NotRefundable:
            return None

    with ThreadPoolExecutor(20) as pool:
        granted = [found for found in pool.map(ask, range(200)) if found is not None]
    assert len(granted) == 31
    assert payment_row(world, payment.id).amount_refunded == 3100
    for _ in range(3):
        world.settle()

    assert len(at_provider(world, payment.id)) == 31
    assert payment_row(world, payment.id).state == "REFUNDED"
    assert balances(world) == {}
    world.assert_everything_adds_up()


# --- earned and unearned ------------------------------------------------------------------------


def test_a_refund_after_the_period_lowers_revenue(world: World) -> None:
    subscriber = paid(world)
    world.run_until("2026-02-01")
    world.close_books()
    first = world.payment(subscriber, 0)
    assert balances(world)["revenue"] == -3100

    give_back(world, first.id, usd(1000))
    world.settle()

    assert balances(world)["refunds_contra"] == 1000
    assert balances(world)["revenue"] == -3100, "what was earned stays in the books"
    world.assert_everything_adds_up()


def test_a_refund_in_the_middle_is_split_by_what_was_earned(world: World) -> None:
    """Ten of 31 days are earned, so ten of 31 parts of a refund are."""
    world.earn_daily()
    subscriber = paid(world)
    world.jump_to("2026-01-11")
    world.close_books()
    assert balances(world)["revenue"] == -1000

    asked = give_back(world, world.payment(subscriber).id, usd(1550))
    world.settle()

    row = refund_row(world, asked)
    assert (row.recognised, row.deferred, row.tax) == (500, 1050, 0)
    world.run_until("2026-01-31 23:00")
    world.jump_to("2026-02-01")
    world.close_books()
    assert balances(world)["revenue"] == -(1000 + 2100 - 1050), "the rest, spread over the rest"
    world.assert_everything_adds_up()


def test_a_refund_of_an_open_cycle_is_part_of_it_and_a_later_one_is_not(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    early = give_back(world, payment.id, usd(100))
    world.settle()
    world.close_books()
    assert world.cycles(subscriber)[0].state == "closed"

    late = give_back(world, payment.id, usd(100))
    world.settle()

    def in_cycle(key: str) -> bool:
        with world.engine.connect() as conn:
            query = text("SELECT cycle_id IS NOT NULL FROM ledger.entries WHERE source_key = :key")
            return bool(conn.execute(query, {"key": key}).scalar_one())

    assert in_cycle(f"refund_requested:{early}")
    assert in_cycle(f"refund_succeeded:{early}")
    assert not in_cycle(f"refund_requested:{late}")
    assert not in_cycle(f"refund_succeeded:{late}")
    world.assert_everything_adds_up()


# --- failing ------------------------------------------------------------------------------------


def test_a_refund_that_fails_after_it_succeeded_is_undone(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    asked = give_back(world, payment.id)
    world.settle()
    assert payment_row(world, payment.id).state == "REFUNDED"

    fail_at_provider(world, asked, "expired_or_canceled_card")
    apply_events_of_refund(world, refund_row(world, asked).provider_refund_id)

    row = refund_row(world, asked)
    assert (row.state, row.failure_reason) == ("failed", "payment_method_closed")
    back = payment_row(world, payment.id)
    assert (back.state, back.amount_refunded) == ("CAPTURED", 0)
    assert balances(world) == {"psp_clearing": 3100, "deferred_revenue": -3100}
    again = give_back(world, payment.id)
    world.settle()
    assert refund_state(world, again) == "succeeded"
    world.assert_everything_adds_up()


def test_after_settlement_the_payment_goes_back_to_settled(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    world.close_books()
    assert payment_row(world, payment.id).state == "SETTLED"
    asked = give_back(world, payment.id)
    world.settle()

    fail_at_provider(world, asked)
    apply_events_of_refund(world, refund_row(world, asked).provider_refund_id)

    assert payment_row(world, payment.id).state == "SETTLED"
    world.assert_everything_adds_up()


def test_a_failed_refund_of_unearned_money_is_earned_after_all(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    asked = give_back(world, payment.id, usd(1000))
    world.settle()
    world.run_until("2026-02-01")
    world.close_books()
    assert balances(world)["revenue"] == -2100

    fail_at_provider(world, asked)
    apply_events_of_refund(world, refund_row(world, asked).provider_refund_id)
    world.close_books()

    assert balances(world)["revenue"] == -3100
    world.assert_everything_adds_up()


def test_what_is_heard_of_a_refund_may_come_in_any_order_and_number(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    asked = give_back(world, payment.id)
    world.settle()
    provider_id = str(refund_row(world, asked).provider_refund_id)
    early = world.gateway.refund_by_id(provider_id)
    fail_at_provider(world, asked)
    late = world.gateway.refund_by_id(provider_id)
    assert early is not None
    assert late is not None

    for found in (late, early, early, late):
        with world.engine.begin() as conn:
            refund_updates.apply(conn, found, provider="stripe", now=world.now)

    assert refund_state(world, asked) == "failed"
    assert world.entries("refund_returned") == 1
    assert world.entries("refund_failed") == 1
    world.assert_everything_adds_up()


def test_a_pending_refund_is_asked_about_until_it_is_decided(world: World) -> None:
    settings(world, refunds="pending", refund_delay_seconds=3 * 86_400)
    subscriber = paid(world)
    payment = world.payment(subscriber)
    asked = give_back(world, payment.id, usd(500))
    world.settle()
    assert refund_state(world, asked) == "pending"

    world.run_until("2026-01-03")
    assert refund_state(world, asked) == "pending"
    world.run_until("2026-01-06")

    assert refund_state(world, asked) == "succeeded"
    assert len(at_provider(world, payment.id)) == 1
    world.assert_everything_adds_up()


def test_a_pending_refund_that_fails_never_touched_what_the_provider_holds(world: World) -> None:
    settings(world, refunds="pending", refund_delay_seconds=3 * 86_400)
    subscriber = paid(world)
    payment = world.payment(subscriber)
    asked = give_back(world, payment.id)
    world.settle()

    fail_at_provider(world, asked)
    apply_events_of_refund(world, refund_row(world, asked).provider_refund_id)

    assert refund_state(world, asked) == "failed"
    assert payment_row(world, payment.id).amount_refunded == 0
    assert balances(world) == {"psp_clearing": 3100, "deferred_revenue": -3100}
    world.assert_everything_adds_up()


# --- lost answers -------------------------------------------------------------------------------

REFUNDING = {"method": "POST", "path": "/v1/refunds"}


@pytest.mark.parametrize(
    "kind",
    [
        "reset_before",
        "reset_after_commit",
        "hang_after_commit",
        "truncated_body",
        "garbage_200",
        "error_500",
        "error_500_uncommitted",
        "rate_limit_429",
        "conflict_409",
        "error_401",
    ],
)
def test_a_refund_whose_answer_was_lost_is_not_made_twice(world: World, kind: str) -> None:
    payment = world.payment(paid(world))
    world.psp._control("POST", "faults", kind=kind, times=2, delay_ms=100, match=REFUNDING)

    asked = give_back(world, payment.id, usd(700))
    world.settle()

    assert refund_state(world, asked) == "succeeded"
    assert [row["amount"] for row in at_provider(world, payment.id)] == [700]
    assert balances(world)["psp_clearing"] == 2400
    world.assert_everything_adds_up()


def begun(world: World, refund_id: UUID) -> RefundSend:
    sending = refund_sending.begin(world.context(), refund_id)
    assert isinstance(sending, RefundSend)
    return sending


def finish(world: World, sending: RefundSend, answer: refund_sending.RefundAnswer) -> str:
    return str(refund_sending.finish(world.context(), sending, answer))


def test_a_worker_that_dies_after_the_answer_leaves_the_refund_to_the_next(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    dying = begun(world, asked)
    refund_sending.attempt(world.context(), dying)

    assert refund_sending.begin(world.context(), asked) is None, "it is leased"
    world.wait(world.policy.lease)
    world.settle()

    assert refund_state(world, asked) == "succeeded"
    assert len(at_provider(world, payment.id)) == 1
    world.assert_everything_adds_up()


def test_after_the_key_may_be_forgotten_the_lists_are_asked(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    dying = begun(world, asked)
    refund_sending.attempt(world.context(), dying)

    world.jump_to("2026-01-03")  # the provider has forgotten the key: a resend would pay twice
    world.wait(world.policy.lease)
    world.settle()

    assert refund_state(world, asked) == "succeeded"
    assert len(at_provider(world, payment.id)) == 1
    world.assert_everything_adds_up()


def test_only_a_proven_absence_gives_a_refund_another_key(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    first = begun(world, asked)

    world.jump_to("2026-01-03")
    answer = refund_sending.attempt(world.context(), first)
    assert answer == Absent()
    assert finish(world, first, answer) == "requested"
    second = begun(world, asked)

    assert first.request.idempotency_key == f"sandbox:refund:{asked}:c1"
    assert second.request.idempotency_key == f"sandbox:refund:{asked}:c2"
    assert second.call.never_executed
    assert second.call.first_sent_at == world.now
    world.wait(world.policy.lease)
    world.settle()
    assert refund_state(world, asked) == "succeeded"
    world.assert_everything_adds_up()


def test_an_unknown_outcome_keeps_the_key_and_waits_longer_each_time(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    pauses, keys = [], set()

    for _ in range(3):
        sending = begun(world, asked)
        keys.add(sending.request.idempotency_key)
        finish(world, sending, Unknown("timeout", "no answer"))
        row = refund_row(world, asked)
        pauses.append(row.dispatch_after - world.wall)
        assert last_call(world, asked).unknown_since is not None
        world.wait(timedelta(hours=1))

    assert keys == {f"sandbox:refund:{asked}:c1"}
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]
    world.settle()
    assert refund_state(world, asked) == "succeeded"
    world.assert_everything_adds_up()


def test_a_deferred_send_is_still_the_first(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    finish(world, begun(world, asked), Deferred("rate_limit", "slow down", timedelta(minutes=9)))
    assert refund_row(world, asked).dispatch_after == world.wall + timedelta(minutes=9)
    world.wait(timedelta(minutes=9))

    assert begun(world, asked).call.never_executed
    world.wait(world.policy.lease)
    assert not begun(world, asked).call.never_executed, "nobody knows what became of the one before"


def test_a_refusal_is_a_failed_refund_with_its_reason(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))

    finish(world, begun(world, asked), Rejected("charge_disputed", "it was charged back"))

    row = refund_row(world, asked)
    assert (row.state, row.failure_reason) == ("failed", "charge_disputed: it was charged back")
    assert payment_row(world, payment.id).amount_refunded == 0
    assert balances(world) == {"psp_clearing": 3100, "deferred_revenue": -3100}
    world.assert_everything_adds_up()


def test_a_refund_that_was_made_although_it_was_refused_is_booked_and_reported(
    world: World,
) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    sending = begun(world, asked)
    made = refund_sending.attempt(world.context(), sending)
    assert isinstance(made, RefundAccepted)
    finish(world, sending, Rejected("invalid_request", "an answer that was wrong"))

    for _ in range(2):
        apply_events_of_refund(world, made.provider_refund_id)

    assert refund_state(world, asked) == "failed"
    assert payment_row(world, payment.id).amount_refunded == 700
    assert [row.kind for row in world.breaks()] == ["refund_unknown"]
    assert balances(world) == {"psp_clearing": 2400, "deferred_revenue": -2400}
    world.assert_books_balance()


def test_an_answer_about_another_amount_is_a_break_and_books_nothing(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))

    finish(world, begun(world, asked), RefundAccepted("re_other", RefundStatus.SUCCEEDED, usd(701)))

    row = refund_row(world, asked)
    assert (row.state, row.provider_refund_id) == ("requested", "re_other")
    assert last_call(world, asked).outcome is AttemptOutcome.SUCCEEDED
    assert [row.kind for row in world.breaks()] == ["refund_mismatch"]
    world.assert_promises_hold()


def test_what_is_told_later_of_another_amount_makes_no_second_break_and_sends_nothing(
    world: World,
) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    made = world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="701")
    answer = RefundAccepted(made["id"], RefundStatus.SUCCEEDED, usd(701))
    finish(world, begun(world, asked), answer)

    apply_events_of_refund(world, made["id"])
    world.run_until("2026-01-04")

    assert [row.kind for row in world.breaks()] == ["refund_mismatch"]
    assert refund_state(world, asked) == "requested"
    assert payment_row(world, payment.id).amount_refunded == 700
    assert [row["amount"] for row in at_provider(world, payment.id)] == [701]
    world.assert_books_balance()


def test_an_answer_that_names_a_refund_known_here_under_another_id_leaves_the_call_open(
    world: World,
) -> None:
    payment = world.payment(paid(world))
    made = world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="600")
    apply_events_of_refund(world, made["id"])
    asked = give_back(world, payment.id, usd(700))
    first = begun(world, asked)

    finish(world, first, RefundAccepted(made["id"], RefundStatus.SUCCEEDED, usd(600)))

    assert refund_row(world, asked).provider_refund_id is None
    world.jump_to("2026-01-03")
    world.wait(world.policy.lease)
    assert begun(world, asked).request == first.request, "the same call is sent again"


@pytest.mark.parametrize("late", [Rejected("invalid_request", "no"), Absent()])
def test_an_answer_to_a_call_that_has_ended_does_not_end_the_next_one(
    world: World, late: Rejected | Absent
) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    slow = begun(world, asked)
    finish(world, slow, Absent())
    second = begun(world, asked)

    assert finish(world, slow, late) == "requested"
    finish(world, slow, Unknown("timeout", "late"))

    assert last_call(world, asked) == second.call
    world.wait(world.policy.lease)
    world.settle()
    assert refund_state(world, asked) == "succeeded"
    assert [call.outcome for call in calls_of(world, asked)] == ["absent", "succeeded"]
    world.assert_everything_adds_up()


def test_an_event_that_is_first_ends_the_call(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    dying = begun(world, asked)
    made = refund_sending.attempt(world.context(), dying)
    assert isinstance(made, RefundAccepted)

    apply_events_of_refund(world, made.provider_refund_id)

    assert last_call(world, asked).outcome is AttemptOutcome.SUCCEEDED
    assert finish(world, dying, made) == "succeeded"
    world.assert_everything_adds_up()


def test_a_pending_refund_that_the_provider_does_not_tell_of_is_asked_about_again(
    world: World,
) -> None:
    settings(world, refunds="pending", refund_delay_seconds=3 * 86_400)
    asked = give_back(world, world.payment(paid(world)).id, usd(700))
    world.settle()
    call = last_call(world, asked)
    world.jump_to("2026-01-02 01:00")
    question = refund_sending.begin(world.context(), asked)
    assert isinstance(question, refund_sending.RefundQuestion)

    assert refund_sending.finish(world.context(), question, Unknown("missing", "no")) == "pending"

    assert not world.dispatch_refunds()
    world.wait(world.policy.unknown_backoff_max)
    assert world.dispatch_refunds() == [asked]
    assert last_call(world, asked) == call, "it is not sent again"
    assert (call.outcome, call.sends) == ("succeeded", 1)


def test_writing_the_same_answer_twice_changes_nothing(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id)
    sending = begun(world, asked)
    answer = refund_sending.attempt(world.context(), sending)

    assert finish(world, sending, answer) == "succeeded"
    assert finish(world, sending, answer) == "succeeded"
    assert finish(world, sending, Unknown("timeout", "late")) == "succeeded"

    assert world.entries("refund_succeeded") == 1
    world.assert_everything_adds_up()


# --- made at the provider -----------------------------------------------------------------------


def test_a_refund_made_in_the_dashboard_is_adopted(world: World) -> None:
    subscriber = paid(world)
    payment = world.payment(subscriber)
    made = world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="600")

    for _ in range(2):
        apply_events_of_refund(world, made["id"])

    assert payment_row(world, payment.id).amount_refunded == 600
    assert balances(world)["psp_clearing"] == 2500
    assert world.entries("refund_succeeded") == 1
    world.assert_everything_adds_up()


def test_a_refund_beyond_what_we_think_is_left_is_a_break(world: World) -> None:
    payment = world.payment(paid(world))
    made = world.psp.post("refunds", payment_intent=str(payment.provider_payment_id))
    give_back(world, payment.id)  # asked for here before we heard of it

    assert apply_events_of_refund(world, made["id"]) is None

    assert [row.kind for row in world.breaks()] == ["refund_unknown"]
    world.assert_books_balance()


def test_a_refund_of_a_payment_that_is_not_ours_is_a_break(world: World) -> None:
    world.psp.take_money(700, "usd")
    charge = world.psp._http.get(f"{world.psp._url}/v1/charges", timeout=PATIENCE).json()["data"][0]
    made = world.psp.post("refunds", charge=charge["id"])

    assert apply_events_of_refund(world, made["id"]) is None

    assert [row.kind for row in world.breaks()] == ["refund_unknown"]


def test_a_second_refund_that_names_ours_is_adopted_and_reported(world: World) -> None:
    """A request that was sent twice after all: both took money, and both are in the books."""
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    world.settle()
    made = world.psp.post(
        "refunds",
        payment_intent=str(payment.provider_payment_id),
        amount="700",
        **{"metadata[refund]": str(asked)},
    )

    apply_events_of_refund(world, made["id"])

    assert payment_row(world, payment.id).amount_refunded == 1400
    assert [row.kind for row in world.breaks()] == ["refund_unknown"]
    assert balances(world)["psp_clearing"] == 1700
    world.assert_books_balance()


# --- charges without an invoice -----------------------------------------------------------------


def test_a_charge_without_an_invoice_is_refunded_against_revenue(world: World) -> None:
    payment_id = one_off(world, usd(5000))
    world.settle()
    assert balances(world) == {"psp_clearing": 5000, "revenue": -5000}

    give_back(world, payment_id, usd(1999))
    give_back(world, payment_id)
    world.settle()

    assert payment_row(world, payment_id).state == "REFUNDED"
    assert balances(world) == {"revenue": -5000, "refunds_contra": 5000}
    world.assert_everything_adds_up()


def test_yen_have_no_parts(world: World) -> None:
    subscriber = paid(world, currency="JPY")
    payment = world.payment(subscriber)

    give_back(world, payment.id, Money(101, "JPY"))
    world.settle()

    assert [row["amount"] for row in at_provider(world, payment.id)] == [101]
    assert balances(world, "JPY")["psp_clearing"] == 2999
    assert world.now == at("2026-01-01")
    world.assert_everything_adds_up()
