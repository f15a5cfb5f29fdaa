"""The provider that pays out days later and tells no balance: its movements and payouts add up."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from billing.flows.settlement import tie_out
from billing.flows.webhooks import inbox
from billing.gateway import EventKind, ProviderEvent
from billing.sandbox import SandboxServer
from billing.store.settlement import runs
from billing.workers.daemons.webhooks import Webhooks
from tests.scenarios.money import NO_TRIAL
from tests.scenarios.world import Subscriber, Till, World

THERE = "braintree"
PAYPAL = "fake-paypal-billing-agreement-nonce"
CARD = "fake-valid-visa-nonce"


@pytest.fixture
def till(both: World) -> Till:
    other = both.psps[THERE]
    assert isinstance(other, Till)
    return other


def subscribed(world: World, card: str = CARD) -> Subscriber:
    world.publish(NO_TRIAL)
    return world.subscribe(*world.customer(card, provider=THERE), "monthly")


def swept(world: World) -> None:
    """Read refunds and disputes, which no event told of."""
    world.wait(world.runtime.settings.webhooks.list_every)
    Webhooks(world.runtime, world.metrics).tick()


def transaction(world: World, subscriber: Subscriber) -> str:
    found = world.payment(subscriber, 0).provider_payment_id
    assert found is not None
    return found


def lines(world: World) -> dict[str, dict[str, Any]]:
    """Return the tie-out of the account as the last run kept it, by currency."""
    with world.engine.connect() as conn:
        (run, *_) = runs.runs(conn, provider=THERE, limit=1)
        last = runs.steps(conn, run.id)[-1]
    return {line["currency"]: line for line in last.cursor["tie_out"]}


def of_kind(world: World, kind: str) -> list[dict[str, Any]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT * FROM breaks WHERE kind = :kind ORDER BY id"), {"kind": kind}
        )
        return [row._asdict() for row in rows]


def test_what_its_movements_come_to_stands_for_a_balance_that_nobody_tells(
    both: World, till: Till
) -> None:
    subscribed(both)
    both.run_until("2026-01-05")

    both.close_books()

    with both.engine.connect() as conn:
        shown = tie_out.report(conn, now=both.now, balances=both.gateways.balances())
    assert shown.ties_out
    (line,) = [each for each in shown.tie_out or () if each.account == THERE]
    # Fees are billed by the month: until then what is owed for them stays.
    assert (line.provider, line.clearing, line.reasons) == (-129, -129, {})


def told(world: World, payout: str, amount: int) -> None:
    """Let the event of a payout come, which tells its amount."""
    event = ProviderEvent(
        id=f"bt_{amount}",
        type="disbursement",
        kind=EventKind.PAYOUT_PAID,
        object_type="disbursement",
        object_id=payout,
        created=world.now,
        payload={"paid": {"amount": amount, "currency": "USD"}},
    )
    inbox.receive(world.engine, THERE, [event], source="webhook", wall=world.wall)
    Webhooks(world.runtime, world.metrics).handle_due()


def mismatches(world: World) -> list[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Return both sides of each payout that doesn't add up, and whether it does by now."""
    found = of_kind(world, "payout_mismatch")
    return [(row["ours"], row["theirs"], row["resolved_at"] is not None) for row in found]


PAYOUT = "2026-01-04_default"
OURS = {"payout": PAYOUT, "amount": 6200, "currency": "USD"}


@pytest.fixture
def paid_out(both: World, till: Till) -> World:
    """Two sales of 31.00 USD were paid out together."""
    for card in (CARD, PAYPAL):
        subscribed(both, card)
    both.run_until("2026-01-05")
    both.close_books()
    return both


def test_a_payout_is_what_its_movements_and_its_event_say(paid_out: World) -> None:
    told(paid_out, PAYOUT, 6200)

    paid_out.assert_everything_adds_up()


def test_an_event_that_tells_another_amount_is_a_break_until_the_right_one_comes(
    paid_out: World,
) -> None:
    told(paid_out, PAYOUT, 6199)

    paid_out.close_books()

    theirs = {"payout": PAYOUT, "amount": 6200, "currency": "USD", "told": 6199}
    assert mismatches(paid_out) == [(OURS, theirs, False)]
    paid_out.run_until("2026-01-06")
    told(paid_out, PAYOUT, 6200)
    paid_out.close_books()
    assert mismatches(paid_out) == [(OURS, theirs, True)]
    paid_out.assert_everything_adds_up()


def test_a_movement_that_no_payout_carries_is_a_break_of_the_payout(
    paid_out: World, db_url: str
) -> None:
    def carry(statement: str) -> None:
        with psycopg.connect(db_url) as owner:
            owner.execute("ALTER TABLE settlement_rows DISABLE TRIGGER USER")
            owner.execute(f"UPDATE settlement_rows SET provider_payout_id = {statement}")

    carry("'another' WHERE provider_transaction_id = (SELECT min(provider_transaction_id)"
          " FROM settlement_rows WHERE kind = 'charge')")  # fmt: skip
    paid_out.run_until("2026-01-06")
    paid_out.close_books()

    theirs = {"payout": PAYOUT, "amount": 6200, "currency": "USD"}
    assert mismatches(paid_out) == [(OURS | {"amount": 3100}, theirs, False)]
    carry(f"'{PAYOUT}' WHERE kind = 'charge'")
    paid_out.run_until("2026-01-07")
    paid_out.close_books()
    assert mismatches(paid_out) == [(OURS | {"amount": 3100}, theirs, True)]


def test_fees_that_are_taken_from_payouts_make_less_of_them(
    db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    more = {"braintree": sandbox.url}
    world = World(
        db_url, sandbox.url, tmp_path / "catalog", prepared=True, more=more,
        BILLING__PROVIDERS__BRAINTREE__FEES_FROM_DISBURSEMENT="true",
    )  # fmt: skip
    till = world.psps[THERE]
    assert isinstance(till, Till)
    till.tell(fees_from_disbursement=True)
    subscribed(world)
    world.run_until("2026-01-05")
    world.close_books()
    told(world, PAYOUT, 3100 - 129)

    world.assert_everything_adds_up()
    assert lines(world)["USD"]["provider"] == 0
    world.close()


@pytest.mark.parametrize("card", [CARD, PAYPAL])
@pytest.mark.parametrize(("decision", "state"), [("won", "won"), ("lost", "lost")])
def test_a_chargeback_is_booked_under_the_steps_that_moved_its_money(
    both: World, till: Till, card: str, decision: str, state: str
) -> None:
    subscriber = subscribed(both, card)
    both.run_until("2026-01-05")
    both.close_books()
    dispute = till.charge_back(transaction(both, subscriber))
    both.run_until("2026-01-10")
    swept(both)
    both.close_books()

    till.decide(dispute, decision)
    both.run_until("2026-01-15")
    swept(both)

    both.assert_everything_adds_up()
    with both.engine.connect() as conn:
        assert conn.execute(text("SELECT state FROM disputes")).scalar_one() == state
