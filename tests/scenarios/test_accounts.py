"""Two accounts at a provider, and two engines on one account: each settles what is its own."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from billing.errors import BadInput, BillingError
from billing.flows import prove
from billing.flows.service import lookup
from billing.flows.settlement import runs, tie_out
from billing.flows.webhooks.inbox import sweep_task
from billing.rules.promises import Finding, FindingKind
from billing.rules.reconciliation import TieOutReason
from billing.sandbox import SandboxServer
from billing.store import tasks
from billing.store.identity import engine_id
from billing.store.settlement import runs as settlement
from billing.workers.daemons.webhooks import Webhooks
from tests.scenarios.money import apply_events_of_refund
from tests.scenarios.world import BEGINNING, Subscriber, World


def subscribed(world: World, provider: str) -> Subscriber:
    return world.subscribe(*world.customer(provider=provider), "video-premium")


def states(world: World, subscriber: Subscriber) -> tuple[str, str]:
    return str(world.payment(subscriber).state), str(world.cycles(subscriber)[-1].state)


def rows(world: World, statement: str) -> list[tuple[Any, ...]]:
    with world.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(text(statement))]


def tied_out(world: World, account: str) -> dict[str, Any]:
    """Return the line of an account's tie-out, which has one currency."""
    with world.engine.connect() as conn:
        balance = world.gateways.of(account).balance()
        (line,) = tie_out.compare_balances(conn, account, balance)
    return line.to_json()


def test_each_account_settles_ties_out_and_closes_what_is_its_own(two: World) -> None:
    here, there = subscribed(two, "stripe"), subscribed(two, "eu")
    two.run_until("2026-01-02")

    two.close_books()

    assert states(two, here) == states(two, there) == ("SETTLED", "closed")
    assert rows(two, "SELECT provider, count(*) FROM settlement_rows GROUP BY 1 ORDER BY 1") == [
        ("eu", 1),
        ("stripe", 1),
    ]
    assert rows(
        two,
        "SELECT a.provider, sum(l.amount) FROM ledger.accounts a"
        " JOIN ledger.postings l ON l.account_id = a.id WHERE a.code = 'psp_clearing'"
        " GROUP BY 1 ORDER BY 1",
    ) == [("eu", 1911), ("stripe", 1911)]
    two.assert_everything_adds_up()


def test_equal_ids_of_two_accounts_are_two_objects(db_url: str, tmp_path: Path) -> None:
    """The second account is a copy of the first one, so that ids are equal."""
    catalog = tmp_path / "catalog"
    with SandboxServer(tmp_path / "first") as server:
        world = World(db_url, server.url, catalog)
        here = world.subscribed("video-premium")
        world.settle()
        world.close()
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "sandbox.sqlite3") as books:
        # Else this engine would have charged at the second account, which no call here knows of.
        books.execute("UPDATE objects SET body = replace(body, '\"engine\"', '\"nobodys\"')")
    books.close()
    with SandboxServer(tmp_path / "first") as first, SandboxServer(tmp_path / "copy") as copy:
        world = World(db_url, first.url, catalog, continued=True, more={"eu": copy.url})
        there = subscribed(world, "eu")
        world.run_until("2026-01-02")

        world.close_books()

        assert states(world, here) == states(world, there) == ("SETTLED", "closed")
        assert rows(
            world,
            "SELECT r.provider, r.outcome, p.provider FROM settlement_rows r"
            " LEFT JOIN payments p ON p.id = r.payment_id ORDER BY 1, 2",
        ) == [
            ("eu", "matched", "eu"),
            ("eu", "unknown_at_provider", None),
            ("stripe", "matched", "stripe"),
        ]
        assert rows(
            world,
            "SELECT count(*), count(DISTINCT provider_transaction_id) FROM settlement_rows",
        ) == [(3, 2)]
        assert [(row.provider, row.kind) for row in world.breaks()] == [
            ("eu", "unknown_at_provider")
        ]
        for account in ("stripe", "eu"):
            assert tied_out(world, account)["unexplained"] == 0
        world.assert_promises_hold()
        world.close()


def test_equal_tokens_of_two_accounts_are_two_payment_methods(two: World, db_url: str) -> None:
    here, there = two.customer(provider="stripe")[0], two.customer(provider="eu")[0]
    with psycopg.connect(db_url) as owner:
        owner.execute("ALTER TABLE payment_methods DISABLE TRIGGER USER")
        owner.execute("UPDATE payment_methods SET provider_payment_method_id = 'pm_1'")

    with two.engine.connect() as conn:
        with pytest.raises(BadInput, match="give its id") as refused:
            lookup.payer(conn, None, "pm_1")
        paying = [lookup.payer(conn, str(customer), "pm_1") for customer in (here, there)]

    assert refused.value.where == "payment_source"
    assert len(set(paying)) == 2


def test_payments_with_equal_ids_at_two_accounts_share_nothing(two: World, db_url: str) -> None:
    for provider in ("stripe", "eu"):
        subscribed(two, provider)
    two.run_until("2026-01-02")
    with psycopg.connect(db_url) as owner:
        owner.execute("ALTER TABLE payments DISABLE TRIGGER USER")
        owner.execute("UPDATE payments SET provider_payment_id = 'pi_1'")
        owner.execute("UPDATE payments SET provider_charge_id = 'ch_1'")
    assert rows(two, "SELECT count(*) FROM payments") == [(2,)]

    found = {
        each.kind
        for proved in prove.prove(two.engine, two.now)
        for each in proved.findings
        if isinstance(each, Finding)
    }

    assert FindingKind.SHARED_AT_PROVIDER not in found


def test_an_account_that_is_down_holds_up_only_its_own_cycles(
    two: World, second: SandboxServer
) -> None:
    here, there = subscribed(two, "stripe"), subscribed(two, "eu")
    two.run_until("2026-01-02")
    two.psps["eu"]._control(
        "POST", "faults", kind="error_500_uncommitted", times=1000, match={"method": "GET"}
    )

    with pytest.raises(BillingError):
        two.close_books()

    assert states(two, here) == ("SETTLED", "closed")
    assert states(two, there) == ("CAPTURED", "opened")
    with two.engine.connect() as conn:
        found = {row.task: row for row in tasks.all_tasks(conn)}
        assert settlement.running(conn, "eu") == [], "no run is begun that can't be read"
    assert found["confirm"].last_error is None
    assert found["confirm:eu"].last_error is not None
    two.psps["eu"].heal()

    two.close_books()

    assert states(two, there) == ("SETTLED", "closed")
    two.assert_everything_adds_up()


@pytest.mark.parametrize(("down", "up"), [("stripe", "eu"), ("eu", "stripe")])
def test_an_account_that_is_down_holds_up_the_sweep_of_no_other(
    two: World, down: str, up: str
) -> None:
    for provider in (down, up):
        subscribed(two, provider)
    two.psps[down]._control(
        "POST", "faults", kind="error_500_uncommitted", times=1000, match={"method": "GET"}
    )

    with pytest.raises(BillingError):
        Webhooks(two.runtime, two.metrics).tick()

    with two.engine.connect() as conn:
        found = {row.task: row for row in tasks.all_tasks(conn)}
    assert found[sweep_task(down)].last_success_at is None
    assert found[sweep_task(up)].last_success_at is not None


def test_each_account_has_a_run_of_its_own(two: World) -> None:
    subscribed(two, "stripe")
    two.run_until("2026-01-02")

    begun = runs.begin(two.engine, "stripe", now=two.now)

    assert begun is not None
    assert runs.begin(two.engine, "stripe", now=two.now) == begun, "one at a time"
    assert runs.begin(two.engine, "eu", now=two.now) is None, "no money ever moved there"
    subscribed(two, "eu")
    two.run_until("2026-01-03")
    other = runs.begin(two.engine, "eu", now=two.now)
    assert other is not None
    assert other != begun


# --- two engines on one account -------------------------------------------------------------------


def take_as_another_engine(world: World, amount: int = 700) -> None:
    world.psp.take_money(
        amount, metadata={"engine": str(uuid4()), "payment": str(uuid4()), "attempt": "1"}
    )


def test_what_another_engine_collects_on_our_account_passes_us_by(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-02")
    take_as_another_engine(world)

    confirmed, _ = world.close_books()

    assert (confirmed.passed_over, confirmed.differences) == (1, 0)
    assert world.breaks() == []
    assert states(world, customer) == ("SETTLED", "closed")
    line = tied_out(world, "stripe")
    assert line["unexplained"] == 0
    assert line["reasons"] == {TieOutReason.OTHER_ENGINES: 650}
    assert world.entries("fee_settled") == 1, "of ours"
    world.assert_promises_hold()


def test_what_carries_no_mark_or_ours_is_a_break_as_before(world: World) -> None:
    world.subscribed("video-premium")
    world.run_until("2026-01-02")
    with world.engine.connect() as conn:
        ours = str(engine_id(conn))
    world.psp.take_money(700)
    world.psp.take_money(800, metadata={"engine": ours})

    world.close_books()

    assert [row.kind for row in world.breaks()] == ["unknown_at_provider"] * 2
    assert tied_out(world, "stripe")["unexplained"] == 0
    world.assert_promises_hold()


def test_a_refund_of_another_engines_charge_is_the_other_engines(world: World) -> None:
    world.subscribed("video-premium")
    world.run_until("2026-01-02")
    take_as_another_engine(world)
    pages = world.gateway.list_charges(since=BEGINNING)
    (charge,) = [each for page in pages for each in page if each.amount.amount == 700]
    world.psp.post("refunds", charge=charge.id)

    world.close_books()

    assert world.breaks() == []
    assert rows(
        world,
        "SELECT kind, outcome FROM settlement_rows WHERE outcome = 'other_engine' ORDER BY kind",
    ) == [("charge", "other_engine"), ("refund", "other_engine")]
    assert tied_out(world, "stripe")["unexplained"] == 0
    world.assert_promises_hold()


def test_a_webhook_that_tells_late_of_another_engines_refund_leaves_no_break(
    world: World,
) -> None:
    world.subscribed("video-premium")
    world.run_until("2026-01-02")
    take_as_another_engine(world)
    pages = world.gateway.list_charges(since=BEGINNING)
    (charge,) = [each for page in pages for each in page if each.amount.amount == 700]
    made = world.psp.post("refunds", charge=charge.id)
    world.close_books()

    apply_events_of_refund(world, made["id"])
    assert [row.kind for row in world.breaks()] == ["refund_unknown"]
    world.run_until("2026-01-03")
    world.close_books()

    assert world.breaks() == []
    world.assert_promises_hold()
