"""A recovery adopts what the provider holds and the database forgot; then charging goes on.

Each story goes on after a backup was taken, restores it, recovers, and holds the books against the
provider's: nobody was charged twice, and every penny is booked.
"""

from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows import fence
from billing.flows.recovery import recovering
from billing.flows.recovery.finding import AdoptionResult, RecoveredKind, Why
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.rules.reconciliation.knowledge import FenceCause, FenceState
from billing.store.settlement import breaks
from billing.store.subscriptions.customers import payment_methods_of as methods_of
from tests.scenarios.backups import Backups, as_after_a_restart, fence_of, recover
from tests.scenarios.money import (
    apply_events_of_dispute,
    at_provider,
    give_back,
    one_off,
    open_dispute,
    paid,
    payment_row,
    refund_row,
    usd,
)
from tests.scenarios.test_authorize import void
from tests.scenarios.test_changes import BASE, HEAD, LADDER, plan
from tests.scenarios.world import Killed, Subscriber, World, die

SHORT = """
product = "Papers"

[[plan]]
code = "weekly"
every = "1 week"
catch_up = "skip"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "2.50" }

[[plan]]
code = "daily"
every = "1 day"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "1.00" }
"""


def states(world: World, subscriber: Subscriber) -> list[tuple[str, str]]:
    """Return a subscriber's payments: for which day, and their state."""
    return sorted(
        (f"{cycle.period_start:%Y-%m-%d}", str(payment.state))
        for cycle, payment in zip(
            world.cycles(subscriber), world.payments(subscriber), strict=False
        )
    )


@pytest.mark.parametrize("later", ["2026-02-01 01:00", "2026-02-02 12:00", "2026-02-08"])
def test_charges_of_an_hour_a_day_a_week_are_adopted(
    world: World, backups: Backups, later: str
) -> None:
    subscribers = [paid(world) for _ in range(3)]
    world.publish(SHORT)
    subscribers += [world.subscribed("weekly"), world.subscribed("daily")]
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until(later)
    taken = [world.psp.captures(each) for each in subscribers]

    restored = restore()
    done = recover(restored)
    assert {each.result for each in done} == {AdoptionResult.ADOPTED}
    for each in subscribers:
        assert states(restored, each) == states(world, each)
    restored.assert_everything_adds_up()
    assert [restored.psp.captures(each) for each in subscribers] == taken

    restored.run_until("2026-03-02")
    assert restored.psp.captures(subscribers[0]) == 3
    restored.assert_everything_adds_up()


def test_a_recovered_database_is_compared_and_known(world: World, backups: Backups) -> None:
    paid(world)
    restore = backups.take(world)
    world.run_until("2026-02-02")
    restored = restore()
    recover(restored)
    as_after_a_restart(restored)
    assert fence.passes(restored.context(), restored.provider)


def test_a_preview_changes_nothing(world: World, backups: Backups) -> None:
    paid(world)
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until("2026-02-02")
    restored = restore()
    (item,) = recovering.prepare(restored.context().at_provider(restored.provider)).items
    assert (item.kind, item.amount) == (RecoveredKind.PAYMENT, usd(3100))
    with restored.engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM cycles")).scalar_one() == 1
    assert fence_of(restored).state is FenceState.RECOVERING


def test_where_nothing_is_missing_nothing_is_done(world: World) -> None:
    paid(world)
    context = world.context().at_provider(world.provider)
    assert recovering.prepare(context).unknown is None


def test_a_recovery_that_was_killed_goes_on(world: World, backups: Backups) -> None:
    subscribers = [paid(world) for _ in range(4)]
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until("2026-02-02")
    restored = restore()
    context = restored.context().at_provider(restored.provider)
    some = recovering.recover(context, recovering.prepare(context))
    next(some)
    next(some)
    del some
    assert len(recover(restored)) == 2
    assert [restored.psp.captures(each) for each in subscribers] == [2, 2, 2, 2]
    restored.assert_everything_adds_up()


def test_a_decline_is_adopted_and_its_ladder_goes_on(world: World, backups: Backups) -> None:
    subscriber = paid(world)
    world.new_card(subscriber, "pm_card_chargeCustomerFail")
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until("2026-02-01 01:00")
    sends = world.psp.sends()

    restored = restore()
    recover(restored)
    payment = restored.payment(subscriber)
    assert (payment.state, payment.rung) == ("CREATED", 1)
    assert restored.status(subscriber) == "past_due"
    assert restored.psp.sends() == sends
    restored.new_card(subscriber)
    restored.run_until("2026-02-05")
    assert restored.payment(subscriber).state == "CAPTURED"
    restored.assert_everything_adds_up()


def test_a_decline_of_a_payment_that_waited_for_its_customer_is_adopted_and_its_ladder_goes_on(
    world: World, backups: Backups
) -> None:
    world.publish(HEAD + plan("monthly", "1 month", BASE, extra=LADDER.format("cancel")))
    subscriber = world.subscribed("monthly", card="pm_sbx_expired_card")
    world.run_until("2026-01-02")
    restore = backups.take(world)
    world.jump_to("2026-01-03")
    world.new_card(subscriber, "pm_sbx_insufficient_funds")
    world.run_until("2026-01-03 02:00")
    before = world.payment(subscriber)
    assert (before.state, before.rung) == ("CREATED", 1)
    world.charge(one_off(world, usd(900)))  # it closes the fence

    restored = restore()
    recover(restored)
    after = restored.payment(subscriber)
    assert (after.state, after.rung) == ("CREATED", 1)
    assert before.next_attempt_at is not None
    assert after.next_attempt_at is not None
    assert after.next_attempt_at.date() == before.next_attempt_at.date()
    assert after.next_attempt_kind == before.next_attempt_kind
    assert restored.status(subscriber) == "past_due"
    restored.new_card(subscriber)
    assert restored.settle()
    assert restored.payment(subscriber).state == "CAPTURED"
    restored.assert_everything_adds_up()


def test_a_rung_that_succeeded_after_the_backup_is_adopted(world: World, backups: Backups) -> None:
    """The payment was declined before the backup: the provider's payment is known, not its end.

    The fence is closed by another charge.
    """
    subscriber = paid(world)
    world.new_card(subscriber, "pm_card_chargeCustomerFail")
    world.run_until("2026-02-01 12:00")
    assert world.payment(subscriber).state == "CREATED"
    restore = backups.take(world)
    world.run_until("2026-02-02")
    world.new_card(subscriber)
    assert world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    world.charge(one_off(world, usd(900)))

    restored = restore()
    recover(restored)
    assert restored.payment(subscriber).state == "CAPTURED"
    assert restored.status(subscriber) == "active"
    restored.assert_everything_adds_up()


def test_refunds_and_disputes_are_adopted(world: World, backups: Backups) -> None:
    before, after = paid(world), paid(world)
    first = world.payment(before).id
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until("2026-02-02")
    refunds = [
        give_back(world, first, usd(500)),
        give_back(world, world.payment(after).id, usd(700)),
    ]
    assert world.settle()
    apply_events_of_dispute(world, open_dispute(world, world.payment(before).id))

    restored = restore()
    done = recover(restored)
    kinds = [each.item.kind for each in done]
    assert kinds.count(RecoveredKind.REFUND) == 2
    assert kinds.count(RecoveredKind.DISPUTE) == 1
    assert {each.result for each in done} == {AdoptionResult.ADOPTED}
    for refund_id in refunds:
        assert refund_row(restored, refund_id).state == "succeeded"
    assert [row["amount"] for row in at_provider(restored, first)] == [500]
    restored.assert_everything_adds_up()


def test_a_refund_that_was_asked_for_and_not_sent_before_the_backup_is_sent_once(
    world: World, backups: Backups
) -> None:
    payment = world.payment(paid(world)).id
    refund = give_back(world, payment, usd(500))
    restore = backups.take(world)
    assert world.settle()

    restored = restore()
    recover(restored)
    assert restored.settle()
    assert refund_row(restored, refund).state == "succeeded"
    assert [row["amount"] for row in at_provider(restored, payment)] == [500]
    restored.assert_everything_adds_up()


def test_a_customer_and_a_charge_of_its_own_are_adopted(world: World, backups: Backups) -> None:
    paid(world)
    restore = backups.take(world)
    payments = [
        one_off(world, usd(900)),
        one_off(world, usd(800), capture_method="manual"),
    ]
    for payment_id in payments:
        world.charge(payment_id)

    restored = restore()
    done = recover(restored)
    assert [each.item.kind for each in done] == ["customer", "customer", "payment", "payment"]
    found = [payment_row(restored, each) for each in payments]
    assert [row.state for row in found] == ["CAPTURED", "AUTHORIZED"]
    restored.assert_everything_adds_up()


@pytest.mark.parametrize("of_shop", [True, False], ids=["voided by the shop", "at the provider"])
def test_an_authorisation_that_was_voided_after_the_backup_is_not_made_again(
    world: World, backups: Backups, of_shop: bool
) -> None:
    paid(world)
    restore = backups.take(world)
    payment_id = one_off(world, usd(800), capture_method="manual")
    world.charge(payment_id)
    if of_shop:
        void(world, payment_id)
        world.settle()
    else:
        intent = payment_row(world, payment_id).provider_payment_id
        world.psp.post(f"payment_intents/{intent}/cancel")

    restored = restore()
    recover(restored)
    restored.run_until("2026-02-03")

    row = payment_row(restored, payment_id)
    assert (row.state, row.captured_at) == ("FAILED", None)
    restored.assert_everything_adds_up()


def test_a_subscription_that_began_after_the_backup_is_passed_over_by_name(
    world: World, backups: Backups
) -> None:
    known = paid(world)
    restore = backups.take(world)
    lost = paid(world)
    world.run_until("2026-02-02")

    restored = restore()
    done = recover(restored)
    assert [each.why for each in done if each.result is AdoptionResult.PASSED_OVER] == [
        Why.SUBSCRIPTION_UNKNOWN,
        Why.SUBSCRIPTION_UNKNOWN,
    ]
    assert {each.item.subscription for each in done if each.why} == {lost.subscription_id}
    assert restored.payment(known).state == "CAPTURED"
    restored.close_books()
    assert {row.kind for row in restored.breaks()} == {"unknown_at_provider"}
    as_after_a_restart(restored)
    assert fence.passes(restored.context(), restored.provider)
    restored.close_books()
    assert fence_of(restored).passes


def test_breaks_that_were_found_before_are_explained(world: World, backups: Backups) -> None:
    subscriber = paid(world)
    restore = backups.take(world)
    world.run_until("2026-02-02")
    restored = restore()
    charge = world.psp.charges(subscriber)[0]["id"]
    with restored.engine.begin() as conn:
        unknown = BreakFound(
            kind=BreakKind.UNKNOWN_AT_PROVIDER, subject=charge, provider=restored.provider
        )
        breaks.record(conn, unknown, now=restored.now)
    recover(restored)
    assert restored.breaks() == []


def test_the_database_that_stays_adopts_what_its_copy_charged(
    world: World, backups: Backups
) -> None:
    subscribers = [paid(world) for _ in range(2)]
    copy = backups.take(world)()
    copy.run_until("2026-02-02")
    world._pin(copy.now)
    world.close_books()
    assert fence_of(world).cause is FenceCause.ANOTHER_DATABASE
    recover(world)
    world.assert_everything_adds_up()
    world.run_until("2026-03-02")
    assert [world.psp.captures(each) for each in subscribers] == [3, 3]
    world.assert_everything_adds_up()


def test_a_payment_whose_customer_has_no_card_any_more_holds_the_recovery_up(
    world: World, backups: Backups
) -> None:
    subscriber = paid(world)
    world.new_card(subscriber, "pm_card_chargeCustomerFail")
    restore = backups.take(world)
    world.run_until("2026-02-01 01:00")
    for card in world.payment_methods(subscriber):
        world.psp.post(f"payment_methods/{card}/detach")
    sends = world.psp.sends()

    restored = restore()
    with restored.engine.begin() as conn:
        conn.execute(text("UPDATE provider_customers SET payment_method_id = NULL"))
    context = restored.context().at_provider(restored.provider)
    prepared = recovering.prepare(context)
    done = list(recovering.recover(context, prepared))
    assert [(each.result, each.why) for each in done] == [
        (AdoptionResult.HELD, Why.NO_PAYMENT_METHOD)
    ]
    assert not recovering.finish(context, prepared, done)
    restored.tick()
    assert restored.psp.sends() == sends


def ids(world: World) -> set[UUID]:
    with world.engine.connect() as conn:
        return set(conn.execute(text("SELECT id FROM payments")).scalars())


def test_the_cycles_of_a_plan_that_skips_missed_periods_are_opened_as_they_were(
    world: World, backups: Backups
) -> None:
    world.publish(SHORT)
    world.subscribed("weekly")
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.run_until("2026-02-10")
    restored = restore()
    recover(restored)
    assert ids(restored) == ids(world)
    restored.assert_everything_adds_up()


def test_a_recovery_that_died_behind_a_customer_has_the_card_of_that_customer(
    world: World, backups: Backups
) -> None:
    paid(world)
    restore = backups.take(world)
    late, _ = world.customer()

    restored = restore()
    context = restored.context().at_provider(restored.provider)
    prepared = recovering.prepare(context)
    next(recovering.recover(context, prepared))  # and then nothing: the process is gone
    recover(restored)

    with restored.engine.connect() as conn:
        assert len(methods_of(conn, late)) == 1


def test_a_customer_is_adopted_together_with_the_cards(
    world: World, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(world)
    restore = backups.take(world)
    late, _ = world.customer()
    restored = restore()
    context = restored.context().at_provider(restored.provider)
    prepared = recovering.prepare(context)

    with monkeypatch.context() as patch:
        patch.setattr("billing.flows.recovery.adopting.keep_payment_method", die)
        with pytest.raises(Killed):
            next(recovering.recover(context, prepared))
    recover(restored)

    with restored.engine.connect() as conn:
        assert len(methods_of(conn, late)) == 1
