"""Two transactions of one payment: the settlement corrects it while somebody else decides it."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from billing.flows.payments import write_offs
from billing.flows.subscriptions import lifecycle
from billing.rules.actor import Actor, ActorKind
from billing.store.payments import payments
from billing.store.settlement import rows as settlement_rows
from tests.scenarios.test_settlement import (
    forced_corrections,
    open_breaks,
    pay_behind_our_back,
    run,
    steps,
)
from tests.scenarios.world import Subscriber, World
from tests.waiting import PATIENCE, until


@pytest.mark.parametrize("waits", [False, True])
def test_a_payment_that_is_voided_between_matching_and_correcting_is_left_to_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """The void commits before the correction locks the payment, or while it waits for that."""
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_1_then_ok")
    world.run_until("2026-01-02")
    pay_behind_our_back(world, customer)
    world.jump_to("2026-01-03 12:00")
    correcting = settlement_rows.lock_row
    threads: list[threading.Thread] = []

    def voided_meanwhile(conn: Any, provider: str, transaction_id: str) -> Any:
        if waits:
            threads.append(voiding_slowly(world, customer))
        else:
            void(world, customer)
        return correcting(conn, provider, transaction_id)

    with monkeypatch.context() as racing:
        racing.setattr(settlement_rows, "lock_row", voided_meanwhile)
        done = run(world)
    for thread in threads:
        thread.join(PATIENCE)

    assert steps(world, done.run_id)["correct"].state == "succeeded"
    assert world.payment(customer).state == "FAILED"
    assert world.invoices(customer)[0].status == "void"
    run(world)
    assert open_breaks(world) == ["captured_at_provider_only"]
    assert forced_corrections(world) == 0
    world.assert_promises_hold()


def void(world: World, customer: Subscriber) -> None:
    lifecycle.cancel(
        world.engine, customer.reference, at_period_end=False, forgive=True,
        now=world.now, actor=Actor(ActorKind.CLI, "operator"), why="asked",
    )  # fmt: skip


def voiding_slowly(world: World, customer: Subscriber) -> threading.Thread:
    """Void in a transaction that has the payment's lock, until somebody waits for that."""
    locked = threading.Event()
    payment_id = world.payment(customer).id

    def hold() -> None:
        with world.engine.begin() as conn:
            payment = payments.lock_known_payment(conn, payment_id)
            locked.set()
            until(lambda: somebody_waits(world))
            write_offs.void(
                conn, payment, now=world.now, actor=Actor(ActorKind.CLI, "operator"), why="asked"
            )

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(PATIENCE)
    return thread


def somebody_waits(world: World) -> bool:
    with world.engine.connect() as conn:
        return bool(conn.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())
