"""The provider that pays out days later and tells no balance: its movements and payouts add up."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from billing.flows.settlement import tie_out
from billing.flows.webhooks import inbox
from billing.gateway import EventKind, ProviderEvent
from billing.queries import gauges
from billing.rules.money import Money
from billing.sandbox import SandboxServer
from billing.store.journal import reads
from billing.store.settlement import runs
from billing.workers.daemons.webhooks import Webhooks
from tests.scenarios.money import NO_TRIAL, give_back
from tests.scenarios.test_credit import cancel
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


def trial(world: World) -> list[Any]:
    with world.engine.connect() as conn:
        return list(reads.trial_balance(conn))


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


def nightly(world: World, first: int, last: int) -> list[str]:
    """Let the nights of January pass; return what any of them found, but what is on its way."""
    found = []
    for day in range(first, last):
        world.run_until(f"2026-01-{day:02}")
        world.close_books()
        found += [str(row.kind) for row in world.breaks()]
        found += [f"{day}: {line}" for line in lines(world).values() if line["unexplained"]]
    return found


@pytest.mark.parametrize("decision", ["won", "lost"])
def test_a_dispute_that_is_told_days_before_its_money_moves_is_no_difference(
    both: World, till: Till, decision: str
) -> None:
    subscriber = subscribed(both)
    assert nightly(both, 2, 7) == []
    sale = transaction(both, subscriber)

    dispute = till.charge_back(sale)
    swept(both)
    assert nightly(both, 7, 8) == []
    (line,) = lines(both).values()
    assert line["reasons"] == {"disputed_not_settled": 3100}
    assert nightly(both, 8, 14) == []
    till.decide(dispute, decision)
    swept(both)
    assert nightly(both, 14, 21) == []

    (line,) = lines(both).values()
    assert (line["clearing"] == line["provider"], line["reasons"]) == (True, {})
    both.close_books()
    both.assert_promises_hold()


def test_a_second_dispute_of_a_payment_that_was_won_before_may_be_lost(
    both: World, till: Till
) -> None:
    subscriber = subscribed(both)
    assert nightly(both, 2, 7) == []
    sale = transaction(both, subscriber)
    first = till.charge_back(sale)
    swept(both)
    assert nightly(both, 7, 8) == []
    till.decide(first, "won")
    swept(both)
    assert nightly(both, 8, 14) == []

    second = till.dispute_again(sale)
    swept(both)
    assert nightly(both, 14, 15) == []
    till.decide(second, "lost")
    swept(both)
    assert nightly(both, 15, 22) == []

    with both.engine.connect() as conn:
        states = conn.execute(text("SELECT state FROM disputes")).scalars()
        assert sorted(states) == ["lost", "won"]
    assert [both.entries(f"dispute_{what}") for what in ("opened", "won", "lost")] == [2, 1, 1]
    both.close_books()
    both.assert_promises_hold()


# --- a settlement that is declined --------------------------------------------------------------


def declined_later(world: World) -> Subscriber:
    """Return who paid, and whose bank then refused to settle that."""
    subscriber = subscribed(world, "sbx_card_settlement_declined_then_ok")
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    world.close_books()
    world.run_until("2026-01-02 06:00")
    return subscriber


def told_of(
    world: World, subscriber: Subscriber, *, of: str | None = None, event: str = "bt_declined"
) -> None:
    """Let the event of a declined settlement come."""
    told = ProviderEvent(
        id=event,
        type="transaction_settlement_declined",
        kind=EventKind.PAYMENT_FAILED,
        object_type="transaction",
        object_id=of or transaction(world, subscriber),
        created=world.now,
        payload={},
    )
    inbox.receive(world.engine, THERE, [told], source="webhook", wall=world.wall)
    Webhooks(world.runtime, world.metrics).handle_due()


def missing(world: World) -> list[tuple[Any, str]]:
    """Return the captures that are missing at the provider, each with the suggested cause."""
    found = of_kind(world, "missing_at_provider")
    return [(row["payment_id"], row["suggested_cause"]) for row in found]


def test_a_declined_settlement_is_owed_again_and_the_ladder_goes_on(
    both: World, till: Till
) -> None:
    subscriber = declined_later(both)
    first = transaction(both, subscriber)
    assert (till.sold(), missing(both)) == (0, [])

    told_of(both, subscriber)

    payment = both.payment(subscriber)
    assert (payment.state, payment.amount_captured, payment.captured_at) == ("CREATED", 0, None)
    assert (payment.decline_code, payment.decline_class, payment.rung) == ("4001", "soft", 1)
    assert payment.provider_payment_id is None, "the next attempt is a payment of its own"
    assert both.invoices(subscriber)[0].status == "open"
    assert both.status(subscriber) == "past_due"
    assert {each.code: each.balance for each in trial(both)}["psp_clearing"] == 0
    assert missing(both) == []
    both.assert_promises_hold()
    both.run_until("2026-01-20")
    both.close_books()
    assert both.sent_on(subscriber) == ["2026-01-01", "2026-01-05"]
    assert both.payment(subscriber).state == "SETTLED"
    assert transaction(both, subscriber) != first
    assert both.status(subscriber) == "active"
    assert [str(each.state) for each in both.cycles(subscriber)] == ["closed"]
    assert both.entries("payment_captured") == 2
    assert both.entries("capture_returned") == 1
    assert lines(both)["USD"]["unexplained"] == 0
    both.assert_everything_adds_up()


def test_an_event_that_comes_again_undoes_no_later_capture(both: World, till: Till) -> None:
    subscriber = declined_later(both)
    old = transaction(both, subscriber)
    told_of(both, subscriber)
    both.run_until("2026-01-07")
    assert both.payment(subscriber).state == "CAPTURED"

    told_of(both, subscriber, of=old, event="bt_again")

    assert both.payment(subscriber).state == "CAPTURED"
    assert both.entries("capture_returned") == 1
    both.close_books()
    both.assert_promises_hold()


def test_a_card_that_was_replaced_meanwhile_is_tried_at_once(both: World, till: Till) -> None:
    subscriber = declined_later(both)
    both.new_card(subscriber, CARD)

    told_of(both, subscriber)
    both.settle()

    payment = both.payment(subscriber)
    assert (payment.state, payment.rung) == ("CAPTURED", 0)
    assert both.status(subscriber) == "active"
    both.assert_promises_hold()


def test_who_has_left_owes_what_never_came(both: World, till: Till) -> None:
    subscriber = declined_later(both)
    cancel(both, subscriber)

    told_of(both, subscriber)

    assert (both.payment(subscriber).state, both.status(subscriber)) == ("CREATED", "canceled")
    both.run_until("2026-01-20")
    both.close_books()
    assert (both.payment(subscriber).state, both.status(subscriber)) == ("SETTLED", "canceled")
    both.assert_everything_adds_up()


def test_a_declined_settlement_on_the_last_rung_is_written_off(both: World, till: Till) -> None:
    subscriber = declined_later(both)
    with both.engine.begin() as conn:
        conn.execute(text("UPDATE payments SET rung = 3"))

    told_of(both, subscriber)

    assert both.payment(subscriber).state == "FAILED"
    assert both.invoices(subscriber)[0].status == "uncollectible"
    assert (both.entries("write_off"), both.status(subscriber)) == (1, "canceled")
    both.assert_promises_hold()


def test_what_was_given_for_the_money_leaves_a_declined_settlement_to_a_person(
    both: World, till: Till
) -> None:
    subscriber = declined_later(both)
    payment = both.payment(subscriber)
    give_back(both, payment.id, Money(1000, "USD"))

    told_of(both, subscriber)

    assert missing(both) == [(payment.id, "settlement_declined")]
    assert (both.payment(subscriber).state, both.invoices(subscriber)[0].status) == (
        "CAPTURED",
        "paid",
    )
    both.assert_promises_hold()


def test_a_declined_settlement_that_no_event_tells_is_undone_by_a_night(
    both: World, till: Till
) -> None:
    subscriber = declined_later(both)
    both.close_books()
    both.run_until("2026-01-08")
    both.close_books()
    assert missing(both) == []
    both.run_until("2026-01-13")
    both.close_books()
    assert missing(both) == [(both.payment(subscriber).id, "missing_at_provider")]

    both.run_until("2026-01-14")
    both.close_books()

    payment = both.payment(subscriber)
    assert (payment.decline_code, both.invoices(subscriber)[0].status) == ("4001", "open")
    assert both.breaks() == [], "its break is resolved"
    both.run_until("2026-01-30")
    both.close_books()
    both.assert_promises_hold()


def test_a_settlement_that_is_declined_at_once_is_a_decline_of_the_ladder(
    both: World, till: Till
) -> None:
    subscriber = subscribed(both, "sbx_paypal_settlement_declined_then_ok")
    both.settle()
    waits = both.payment(subscriber)
    assert (waits.state, waits.decline_code, waits.decline_class) == ("CREATED", "4001", "soft")
    assert both.status(subscriber) == "past_due"

    both.run_until("2026-01-10")

    assert both.status(subscriber) == "active"
    assert both.sent_on(subscriber) == ["2026-01-01", "2026-01-04"]
    both.assert_everything_adds_up()


# --- what is measured of each account -----------------------------------------------------------


def test_an_account_that_is_not_settled_is_seen_beside_one_that_is(both: World, till: Till) -> None:
    """Money that is on its way for days is no account that is left behind."""
    both.publish(NO_TRIAL)
    here, there = both.subscribed("monthly"), subscribed(both)
    both.settle()
    both.close_books()
    with both.engine.connect() as conn:
        figures = {each.name: dict(each.samples) for each in gauges.gauges(conn, both.now)}

    assert (both.payment(here).state, both.payment(there).state) == ("SETTLED", "CAPTURED")
    assert figures["billing_unsettled_captures"] == {("stripe",): 0, (THERE,): 1}
    settled_until = figures["billing_settlement_watermark_timestamp_seconds"]
    assert set(settled_until) == {("stripe",), (THERE,)}
    assert figures["billing_settlement_runs_failed"] == {("stripe",): 0, (THERE,): 0}


def test_breaks_and_open_work_are_counted_at_the_account_where_they_are(
    both: World, till: Till
) -> None:
    both.publish(NO_TRIAL)
    here = both.subscribed("monthly")
    there = declined_later(both)
    give_back(both, both.payment(there).id, Money(1000, "USD"))
    told_of(both, there)
    both.psp.take_money(700)
    both.close_books()
    charges = both.metrics.registry.get_sample_value

    with both.engine.connect() as conn:
        figures = {each.name: dict(each.samples) for each in gauges.gauges(conn, both.now)}

    opened = {labels: n for labels, n in figures["billing_reconciliation_breaks_open"].items() if n}
    assert opened == {("stripe", "unknown_at_provider"): 1, (THERE, "missing_at_provider"): 1}
    for name in (
        "billing_unknown_attempts",
        "billing_unknown_refunds",
        "billing_webhook_events_unhandled",
        "billing_duplicate_charges_open",
    ):
        assert figures[name] == {("stripe",): 0, (THERE,): 0}, name
    assert both.payment(here).state == "SETTLED"
    for account in ("stripe", THERE):
        labels = {"provider": account, "kind": "first"}
        assert charges("billing_charge_attempts_total", labels) == 1, account
