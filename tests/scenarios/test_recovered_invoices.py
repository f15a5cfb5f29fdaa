"""Invoices that were issued after a backup: what their charges say of them comes back with them."""

from sqlalchemy import text

from billing.flows.recovery.finding import AdoptionResult, Why
from billing.rules.credit_notes import Destination
from tests.scenarios.backups import Backups, recover
from tests.scenarios.money import NO_TRIAL, give_back, paid, usd
from tests.scenarios.test_credit_notes import noted, part
from tests.scenarios.test_top_ups import buy, grant_of
from tests.scenarios.world import Subscriber, World


def numbers(world: World, customers: list[Subscriber]) -> list[str]:
    return [world.invoices(each)[-1].number for each in customers]


def charged_in_turn(world: World, customers: list[Subscriber]) -> None:
    """Open the periods of all at once, and charge the last invoice first."""
    world.open()
    for payment_id in reversed(world.dispatch()):
        world.charge(payment_id)


def test_numbers_of_a_series_come_back_in_the_order_in_which_they_were_given(
    world: World, backups: Backups
) -> None:
    """Those that were issued together are charged in any order, and their charges say which."""
    world.number_in_series("INV")
    world.publish(NO_TRIAL)
    customers = [world.subscribed("monthly") for _ in range(5)]
    world.run_until("2026-01-31")
    restore = backups.take(world)
    world.jump_to("2026-02-01")
    charged_in_turn(world, customers)
    had = numbers(world, customers)

    restored = restore()
    restored.number_in_series("INV")
    done = recover(restored)

    assert {(each.result, each.why) for each in done} == {(AdoptionResult.ADOPTED, None)}
    assert sorted(had) == [f"INV-{n:04d}" for n in range(6, 11)]
    assert numbers(restored, customers) == had
    restored.assert_everything_adds_up()


def test_an_invoice_that_gets_another_number_is_told(world: World, backups: Backups) -> None:
    """The one before it was never charged, so it isn't here, and a series has no gap."""
    world.number_in_series("INV")
    world.publish(NO_TRIAL)
    customers = [world.subscribed("monthly") for _ in range(2)]
    world.run_until("2026-01-31")
    restore = backups.take(world)
    world.jump_to("2026-02-01")
    world.open()
    world.dispatch()
    first, second = sorted(customers, key=lambda each: numbers(world, [each]))
    world.charge(world.payment(second).id)
    assert numbers(world, [first, second]) == ["INV-0003", "INV-0004"]

    restored = restore()
    restored.number_in_series("INV")
    done = recover(restored)

    assert [(each.result, each.why) for each in done] == [
        (AdoptionResult.ADOPTED, Why.OTHER_NUMBER)
    ]
    assert numbers(restored, [second]) == ["INV-0003"]
    restored.run_until("2026-02-02")
    assert numbers(restored, [first, second]) == ["INV-0004", "INV-0003"]
    restored.assert_everything_adds_up()


def test_credit_that_was_bought_after_the_backup_is_bought_again(
    world: World, backups: Backups
) -> None:
    world.publish(NO_TRIAL)
    ada = world.subscribed("monthly")
    world.run_until("2026-01-10")
    restore = backups.take(world)
    world.run_until("2026-01-12 08:30:15.123")
    invoice = buy(world, ada.customer, priority=20, valid_days=90)
    world.settle()
    had = credit_of(world)

    restored = restore()
    done = recover(restored)

    assert [(each.result, each.why) for each in done] == [(AdoptionResult.ADOPTED, None)]
    assert credit_of(restored) == had
    assert grant_of(restored, invoice) == grant_of(world, invoice)
    restored.run_until("2026-02-02")
    assert restored.invoices(ada)[-1].credit == 3100
    restored.assert_everything_adds_up()


def test_a_refund_whose_credit_note_is_lost_is_told(world: World, backups: Backups) -> None:
    """One that no note had asked for is adopted as it was."""
    ada, bob = paid(world), paid(world)
    restore = backups.take(world)
    noted(world, ada, part(1000), Destination.REFUND)
    give_back(world, world.payment(bob).id, usd(500))
    world.settle()

    restored = restore()
    done = recover(restored)

    told = {each.item.amount: (each.result, each.why) for each in done}
    assert told == {
        usd(1000): (AdoptionResult.ADOPTED, Why.WITHOUT_NOTE),
        usd(500): (AdoptionResult.ADOPTED, None),
    }
    restored.settle()
    restored.assert_everything_adds_up()


def credit_of(world: World) -> list[tuple[object, ...]]:
    """Return what was bought, with its invoice and what its payment granted."""
    with world.engine.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT i.id, i.kind, i.status, i.total, i.issued_at, t.priority, t.valid_days,"
                " g.amount, g.priority, g.source FROM invoices i"
                " JOIN top_ups t ON t.invoice_id = i.id"
                " LEFT JOIN credit_grants g ON g.invoice_id = i.id AND g.source = 'bought'"
            )
        )
        return [tuple(row) for row in rows]


def test_what_was_issued_at_a_provider_without_metadata_comes_back_from_its_fields(
    both: World, backups: Backups
) -> None:
    both.publish(NO_TRIAL)
    customer_id, theirs = both.customer("fake-valid-visa-nonce", provider="braintree")
    ada = both.subscribe(customer_id, theirs, "monthly")
    both.run_until("2026-01-31")
    restore = backups.take(both)
    both.run_until("2026-02-01 08:30:15.123")
    buy(both, ada.customer, priority=20, valid_days=90)
    both.settle()
    had = credit_of(both)

    restored = restore()
    done = recover(restored, "braintree")

    assert {(each.result, each.why) for each in done} == {(AdoptionResult.ADOPTED, None)}
    assert len(done) == len(restored.payments(ada)) == 2
    assert credit_of(restored) == had
    restored.close_books()
    restored.assert_promises_hold()
