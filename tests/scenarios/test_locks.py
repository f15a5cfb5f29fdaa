"""What is locked is read as it stands once the lock is there, not as it stood before the wait."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from billing.flows.payments import write_offs
from billing.rules.actor import Actor, ActorKind
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import State
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment
from tests.scenarios.world import World
from tests.waiting import PATIENCE, until


def locked(world: World, payment_id: UUID) -> LockedPayment:
    with world.engine.begin() as conn:
        return payments.lock_known_payment(conn, payment_id)


def until_somebody_waits(world: World) -> None:
    def somebody_waits() -> bool:
        with world.engine.connect() as conn:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(conn.exec_driver_sql(waiting).scalar_one())

    until(somebody_waits, "a wait for the lock")


def test_who_waits_for_a_payment_sees_what_was_written_to_its_invoice_meanwhile(
    world: World,
) -> None:
    ada = world.subscribed("video-premium")
    world.open()
    payment_id = world.payment(ada).id
    with ThreadPoolExecutor(1) as threads:
        with world.engine.begin() as conn:
            held = payments.lock_known_payment(conn, payment_id)
            assert held.invoice_status is InvoiceStatus.OPEN
            waiter = threads.submit(locked, world, payment_id)
            until_somebody_waits(world)
            write_offs.void(
                conn, held, now=world.now, actor=Actor(ActorKind.CLI, "ada"), why="not owed"
            )
        seen = waiter.result(timeout=PATIENCE)
    assert seen.state is State.FAILED
    assert seen.invoice_status is InvoiceStatus.VOID


def test_a_payment_that_is_not_there_is_no_error_of_the_lock(world: World) -> None:
    with world.engine.begin() as conn:
        assert payments.lock_payment(conn, UUID(int=7)) is None
