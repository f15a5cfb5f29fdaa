"""A database that is behind the provider charges nobody: a restored backup, a copy, a lost tail."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.flows import fence
from billing.flows.customers import customers
from billing.flows.fence import Recovering
from billing.flows.payments import authorizations
from billing.flows.subscriptions import retrying
from billing.flows.webhooks import inbox
from billing.rules.actor import Actor, ActorKind
from billing.rules.reconciliation.knowledge import FenceCause, FenceState
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.daemons.webhooks import Webhooks
from billing.workers.runtime.metrics import ProcessMetrics
from tests.scenarios.backups import Backups, as_after_a_restart, fence_of, recover
from tests.scenarios.money import give_back, one_off, paid, payment_row, usd
from tests.scenarios.test_changes import BASE, HEAD, LADDER, plan
from tests.scenarios.world import Subscriber, World, at
from tests.waiting import PATIENCE

OPERATOR = Actor(ActorKind.CLI, "operator")


def work(world: World) -> None:
    """Let everybody work as long as a message may take."""
    for _ in range(3):
        world.tick()
        world.close_books()
        world.wait(world.policy.dispatch_window)


def test_a_database_that_was_compared_charges(world: World) -> None:
    paid(world)
    world.run_until("2026-03-15")
    assert fence_of(world).passes
    world.assert_everything_adds_up()


@pytest.mark.parametrize("later", ["2026-02-01 01:00", "2026-02-02 12:00", "2026-02-08"])
def test_a_backup_that_misses_charges_charges_nobody(
    world: World, backups: Backups, later: str
) -> None:
    for _ in range(3):
        paid(world)
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until(later)
    taken, sends = world.psp.captured(), world.psp.sends()

    restored = restore()
    work(restored)
    assert (world.psp.captured(), world.psp.sends()) == (taken, sends)
    found = fence_of(restored)
    assert (found.state, found.cause) == (FenceState.RECOVERING, FenceCause.BEHIND)


def test_a_backup_that_misses_nothing_goes_on(world: World, backups: Backups) -> None:
    paid(world)
    world.run_until("2026-01-31 23:00")
    restored = backups.take(world)()
    assert not fence_of(restored).current
    restored.run_until("2026-02-15")
    assert fence_of(restored).passes
    restored.assert_everything_adds_up()


def test_an_attempt_whose_answer_was_lost_is_asked_for_and_holds_nothing_up(
    world: World, backups: Backups
) -> None:
    """The backup has the call and not its outcome: the database knows that it was sent."""
    subscriber = paid(world)
    world.run_until("2026-01-31 23:00")
    world.jump_to("2026-02-01")
    world.open()
    (due,) = world.dispatch()
    sending = world.begin(due)
    assert sending is not None
    restore = backups.take(world)
    world.finish(sending, world.send(sending))

    restored = restore()
    restored.wait(timedelta(hours=1))
    assert restored.settle()
    assert fence_of(restored).passes
    assert world.psp.captures(subscriber) == 2
    restored.assert_everything_adds_up()


def test_only_a_refund_is_missing(world: World, backups: Backups) -> None:
    payment = world.payment(paid(world))
    restore = backups.take(world)
    give_back(world, payment.id, usd(500))
    assert world.settle()
    restored = restore()
    assert not fence.passes(restored.context(), restored.provider)
    assert fence_of(restored).evidence["kind"] == "refund"


def test_only_a_customer_is_missing(world: World, backups: Backups) -> None:
    paid(world)
    restore = backups.take(world)
    world.customer()
    restored = restore()
    assert not fence.passes(restored.context(), restored.provider)
    assert fence_of(restored).evidence["kind"] == "customer"


def test_what_another_engine_made_holds_nothing_up(world: World) -> None:
    paid(world)
    other = {"engine": "0190b0b0-0000-7000-8000-000000000000", "payment": str(UUID(int=7))}
    world.psp.take_money(500, metadata=other)
    world.psp.take_money(600)
    as_after_a_restart(world)
    assert fence.passes(world.context(), world.provider)


def test_every_start_of_the_server_is_another_state(world: World) -> None:
    paid(world)
    assert fence_of(world).current
    as_after_a_restart(world)
    assert not fence_of(world).passes
    world.run_until("2026-02-01")
    assert fence_of(world).passes


def test_nothing_is_sent_while_the_provider_cannot_be_compared(world: World) -> None:
    subscriber = paid(world)
    as_after_a_restart(world)
    world.jump_to("2026-02-01")
    world.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=50, match={"method": "GET"}
    )
    sends = world.psp.sends()
    world.tick()
    assert world.psp.sends() == sends
    world.psp.heal()
    world.wait(world.policy.dispatch_window)
    assert world.settle()
    assert world.psp.captures(subscriber) == 2
    world.assert_everything_adds_up()


# --- charges of payment objects that are known --------------------------------------------------


def confirm_there(world: World, subscriber: Subscriber, card: str) -> None:
    """Let a customer confirm the payment that is open with another card, at the provider alone."""
    made = world.psp.post(
        f"payment_methods/{card}/attach", customer=subscriber.provider_customer_id
    )
    intent = world.payment(subscriber).provider_payment_id
    url = f"{world.psp._url}/v1/payment_intents/{intent}/confirm"
    answer = world.psp._http.post(url, data={"payment_method": made["id"]}, timeout=PATIENCE)
    assert answer.status_code in (200, 402), answer.text


@pytest.fixture
def waits(world: World) -> Subscriber:
    """A subscriber whose payment waits for an authentication."""
    world.publish(HEAD + plan("monthly", "1 month", BASE, extra=LADDER.format("cancel")))
    subscriber = world.subscribed("monthly", card="pm_card_authenticationRequired")
    world.run_until("2026-01-02 12:00")
    return subscriber


@pytest.mark.parametrize("card", ["pm_card_chargeCustomerFail", "pm_card_visa"])
def test_a_customers_confirmation_of_a_known_payment_closes_nothing_after_a_restart(
    world: World, waits: Subscriber, card: str
) -> None:
    confirm_there(world, waits, card)
    as_after_a_restart(world)
    assert fence.passes(world.context(), world.provider)


def test_a_confirmation_that_succeeded_is_booked_by_the_next_attempt_once(
    world: World, waits: Subscriber
) -> None:
    confirm_there(world, waits, "pm_card_visa")
    as_after_a_restart(world)
    world.new_card(waits)
    world.run_until("2026-01-04")
    assert world.payment(waits).state == "CAPTURED"
    assert world.psp.captures(waits) == 1
    world.assert_everything_adds_up()


def test_a_confirmation_that_succeeded_is_booked_by_the_night(
    world: World, waits: Subscriber
) -> None:
    confirm_there(world, waits, "pm_card_visa")
    as_after_a_restart(world)
    world.run_until("2026-01-04")
    world.close_books()
    assert world.payment(waits).state == "SETTLED"
    assert world.psp.captures(waits) == 1
    world.assert_everything_adds_up()


def test_a_success_of_a_payment_that_failed_for_good_closes_the_fence(
    world: World, waits: Subscriber
) -> None:
    world.run_until("2026-02-10")
    assert world.payment(waits, 0).state == "FAILED"
    confirm_there(world, waits, "pm_card_visa")
    as_after_a_restart(world)
    assert not fence.passes(world.context(), world.provider)


# --- every door ---------------------------------------------------------------------------------


@pytest.fixture
def behind(world: World, backups: Backups) -> World:
    """A restored world: a payment CAPTURED, one AUTHORIZED, one waiting, and a charge unknown."""
    paid(world)
    world.charge(one_off(world, usd(700), capture_method="manual"))
    restore = backups.take(world)
    paid(world)
    restored = restore()
    assert not fence.passes(restored.context(), restored.provider)
    return restored


def one_in(world: World, state: str) -> UUID:
    with world.engine.connect() as conn:
        found: UUID = conn.execute(
            text("SELECT id FROM payments WHERE state = :state LIMIT 1"), {"state": state}
        ).scalar_one()
    return found


def a_capture(world: World) -> None:
    with world.engine.begin() as conn:
        payment_id = one_in(world, "AUTHORIZED")
        authorizations.request_capture(conn, payment_id, now=world.now, actor=OPERATOR)


def a_void(world: World) -> None:
    with world.engine.begin() as conn:
        payment_id = one_in(world, "AUTHORIZED")
        authorizations.request_void(conn, payment_id, now=world.now, actor=OPERATOR, why="")


def a_refund(world: World) -> None:
    give_back(world, one_in(world, "CAPTURED"))


def a_retry(world: World) -> None:
    retrying.retry(world.engine, one_in(world, "CAPTURED"), now=world.now, actor=OPERATOR, why="")


def a_customer(world: World) -> None:
    customers.create(world.context(), name="Grace")


def a_card(world: World) -> None:
    with world.engine.connect() as conn:
        customer = conn.execute(text("SELECT id FROM customers LIMIT 1")).scalar_one()
    customers.set_payment_method(world.context(), str(customer), "pm_card_visa")


@pytest.mark.parametrize("ask", [a_capture, a_void, a_refund, a_retry, a_customer, a_card])
def test_what_is_asked_for_is_refused(behind: World, ask: Callable[[World], None]) -> None:
    with pytest.raises(Recovering):
        ask(behind)


def test_what_was_asked_for_before_is_not_sent(world: World, backups: Backups) -> None:
    """A capture, a void and a refund that were requested and not sent when the backup was made."""
    captured = world.payment(paid(world)).id
    held = [one_off(world, usd(700), capture_method="manual") for _ in range(2)]
    for each in held:
        world.charge(each)
    with world.engine.begin() as conn:
        authorizations.request_capture(conn, held[0], now=world.now, actor=OPERATOR)
        authorizations.request_void(conn, held[1], now=world.now, actor=OPERATOR, why="")
    refund = give_back(world, captured, usd(100))
    restore = backups.take(world)
    paid(world)
    restored = restore()
    for payment_id in held:
        restored.charge(payment_id)
    restored.refund(refund)
    assert [payment_row(restored, each).state for each in held] == ["AUTHORIZED", "AUTHORIZED"]
    assert fence_of(restored).state is FenceState.RECOVERING
    with restored.engine.connect() as conn:
        sent = conn.execute(text("SELECT count(*) FROM provider_calls WHERE finished_at IS NULL"))
        assert sent.scalar_one() == 0


def test_the_database_refuses_a_send_that_did_not_ask(behind: World) -> None:
    with (
        pytest.raises(DBAPIError) as refused,
        behind.engine.begin() as conn,
    ):
        conn.execute(
            text(
                "INSERT INTO provider_calls (subject_id, kind, n, customer_id, provider,"
                " idempotency_key, request, first_sent_at)"
                " SELECT gen_random_uuid(), 'refund', 1, id, provider, 'k', '{}', now()"
                "   FROM customers LIMIT 1"
            )
        )
    assert isinstance(refused.value.orig, psycopg.Error)
    assert refused.value.orig.sqlstate == "PF001"


def test_a_scheduler_opens_no_cycle_of_a_database_that_is_behind(behind: World) -> None:
    behind.jump_to("2026-02-01")
    metrics = ProcessMetrics(CollectorRegistry(), "scheduler", "0")
    scheduler = Scheduler(behind.runtime, metrics)
    assert scheduler._open(behind.now, 100).seen == 0


def test_events_wait_for_what_is_to_be_adopted(behind: World) -> None:
    for page in behind.gateway.list_events(since=at("2026-01-01")):
        inbox.receive(behind.engine, behind.provider, page, source="sweep", wall=behind.wall)
    webhooks = Webhooks(behind.runtime, ProcessMetrics(CollectorRegistry(), "webhooks", "0"))
    assert webhooks.tick() == []
    recover(behind)
    assert webhooks.tick() != []


# --- two databases of one engine ----------------------------------------------------------------


def test_two_databases_that_charge_at_once_take_each_payment_once(
    world: World, backups: Backups
) -> None:
    """A copy of production that was started with live keys; nothing is missing in either."""
    subscribers = [paid(world) for _ in range(3)]
    copy = backups.take(world)()
    world.jump_to("2026-02-01")
    copy._pin(world.now)
    for each in (copy, world):
        each.tick()
    for subscriber in subscribers:
        assert world.psp.captures(subscriber) == 2
    assert world.psp.captured_twice() == 0


def test_charges_of_another_database_close_the_fence_of_one_that_runs(
    world: World, backups: Backups
) -> None:
    subscriber = paid(world)
    copy = backups.take(world)()
    copy.run_until("2026-02-01 01:00")
    assert world.psp.captures(subscriber) == 2

    world._pin(copy.now)
    world.close_books()
    found = fence_of(world)
    assert (found.state, found.cause) == (FenceState.RECOVERING, FenceCause.ANOTHER_DATABASE)
    assert world.breaks() == []
    world.tick()
    assert world.psp.captures(subscriber) == 2
