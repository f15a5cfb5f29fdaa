"""What commands print: its shape, its names, money and time."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.cli.world import DAY, START, World

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_a_wallet_is_shown_by_its_name(paid: World) -> None:
    given = ("--name", "Bo", "--external-id", "bo", "--payment-method", "pm_sbx_paypal")
    paid.run("customers", "create", *given)

    bo = paid.json("customers", "show", "bo")

    assert (bo["payment_method_kind"], bo["card_brand"], bo["card_last4"]) == (
        "wallet",
        "paypal",
        None,
    )
    assert [(each["kind"], each["brand"]) for each in bo["payment_methods"]] == [
        ("wallet", "paypal")
    ]


def test_customers_are_shown_with_their_card_and_subscriptions(paid: World) -> None:
    ada = paid.json("customers", "show", "ada")

    assert (ada["name"], ada["card_brand"], ada["card_last4"]) == ("Ada", "visa", "4242")
    assert ada["live_subscriptions"] == 1
    assert ada["provider"] == "stripe"
    assert [method["brand"] for method in ada["payment_methods"]] == ["visa"]
    assert [held["plan"] for held in ada["subscriptions"]] == ["video-basic"]


def test_a_payment_is_minor_units_with_a_currency_and_instants_in_utc(paid: World) -> None:
    (payment,) = paid.json("charges", "list")

    assert (payment["amount"], payment["currency"], payment["state"]) == (999, "USD", "SETTLED")
    assert (payment["attempts"], payment["provider"]) == (1, "stripe")
    assert INSTANT.fullmatch(payment["captured_at"])
    assert paid.json("charges", "show", payment["id"])["attempt_rows"][0]["outcome"] == "succeeded"


def test_a_table_writes_money_for_people(paid: World) -> None:
    table = paid.run("charges", "list").stdout.splitlines()

    assert table[0].split()[:2] == ["ID", "INVOICE"]
    assert "9.99 USD" in table[1]


def test_an_invoice_is_found_by_its_number_and_shows_its_lines(paid: World) -> None:
    (listed,) = paid.json("invoices", "list", "--status", "paid", "--customer", "ada")

    shown = paid.json("invoices", "show", listed["number"])

    assert (shown["total"], shown["currency"]) == (999, "USD")
    assert [(line["quantity"], line["amount"]) for line in shown["lines"]] == [(1, 999)]
    assert paid.json("invoices", "list", "--status", "open") == []


def test_the_timeline_tells_the_story_in_order(paid: World) -> None:
    kinds = [line["kind"] for line in paid.lines("subscriptions", "timeline", "ada-sub")]

    assert kinds == [
        "subscribed",
        "cycle_opened",
        "invoice_issued",
        "attempt_sent",
        "attempt_finished",
        "payment_moved",
        "payment_moved",
        "payment_moved",
        "cycle_closed",
    ]


def test_an_event_of_an_earlier_version_is_told_as_it_was_written(paid: World) -> None:
    runtime = paid.runtime()
    with runtime.engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO subscription_events (subscription_id, at, kind, actor, words)"
                " SELECT id, '2031-01-01', 'imported', 'cli', 'moved here from elsewhere'"
                "   FROM subscriptions WHERE external_id = 'ada-sub'"
            )
        )
    runtime.close()

    last = paid.lines("subscriptions", "timeline", "ada-sub")[-1]

    assert (last["kind"], last["what"]) == ("imported", "moved here from elsewhere")
    assert "moved here from elsewhere (cli, " in str(paid.json("explain", "ada-sub"))


def test_the_timeline_of_a_decline_ends_past_due(declined: World) -> None:
    lines = declined.lines("subscriptions", "timeline", "bob-sub")

    assert [line["kind"] for line in lines][-2:] == ["attempt_finished", "past_due"]
    assert "generic_decline" in lines[-2]["what"]


def test_lists_are_filtered(paid: World) -> None:
    paid.subscribed("bob", "video-trial", card="pm_card_visa")
    paid.at(START)

    def found(*args: str) -> list[str]:
        return [row["external_id"] for row in paid.json("subscriptions", "list", *args)]

    assert found() == ["ada-sub", "bob-sub"]
    assert found("--status", "trialing") == ["bob-sub"]
    assert found("--status", "TRIALING") == ["bob-sub"]
    assert found("--plan", "video-basic") == ["ada-sub"]
    assert found("--customer", "bob") == ["bob-sub"]
    assert found("--parked") == []
    assert found("--not-parked", "--status", "active") == ["ada-sub"]


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_a_list_is_read_on_from_a_cursor(output: str, world: World) -> None:
    for name in ("ada", "bob", "cid"):
        world.run("customers", "create", "--name", name, "--external-id", name)

    first = world.run("customers", "list", "--limit", "2", "-o", output)
    cursor = first.stderr.removeprefix("more: --after ").strip()
    second = world.run("customers", "list", "--limit", "2", "--after", cursor, "-o", output)

    def names(text: str) -> list[str]:
        rows = json.loads(text) if output == "json" else map(json.loads, text.splitlines())
        return [row["name"] for row in rows]

    assert (names(first.stdout), names(second.stdout)) == (["ada", "bob"], ["cid"])
    assert str(UUID(cursor)) == cursor
    assert second.stderr == ""


def test_an_empty_list_is_an_empty_array(world: World) -> None:
    assert world.json("charges", "list") == []
    assert world.lines("charges", "list") == []
    assert world.run("charges", "list").stdout.startswith("ID ")


def test_an_id_may_be_cut_off_while_it_is_unique(paid: World) -> None:
    (payment,) = paid.json("charges", "list")

    assert paid.json("charges", "show", payment["id"][:13])["id"] == payment["id"]
    assert paid.json("charges", "show", payment["id"].upper())["id"] == payment["id"]
    assert paid.run("charges", "show", payment["id"][:7]).exit_code == 2


def test_the_beginning_of_two_ids_is_ambiguous(world: World) -> None:
    ids = [
        world.json("customers", "create", "--name", name)["id"] for name in ("ada", "bob", "cid")
    ]
    shared = ids[0][:8]
    if {each[:8] for each in ids} != {shared}:
        pytest.skip("the ids were made in two different minutes")

    result = world.run("customers", "show", shared)

    assert result.exit_code == 2
    assert all(each in result.stderr for each in ids)


def test_the_status_counts_everything(declined: World) -> None:
    status = declined.json("status")

    assert status["subscriptions"]["past_due"] == 1
    assert status["payments"]["CREATED"] == 1
    assert status["dunning"]["1"] == 1
    assert status["queue"] == {"name": "charges", "messages": 0, "error": None}
    assert status["processes"] is None
    assert status["due"]["renewals"] == 0
    assert status["ledger_sum"] == {"USD": 0}
    assert status["now"] == "2026-01-31T09:00:00Z"


def test_the_status_of_a_backlog_says_how_far_it_lies_back(paid: World, db_url: str) -> None:
    from billing.store import clock
    from billing.store.engine import make_engine

    engine = make_engine(db_url)
    with engine.begin() as conn:
        clock.put(conn, datetime(2026, 2, 28, 10, 0, tzinfo=UTC))
    engine.dispose()

    status = paid.json("status")

    assert status["due"]["renewals"] == 1
    assert status["lag_seconds"] == 3600
    assert status["watermarks"]["renewals"] == "2026-02-28T09:00:00Z"
    assert "1 renewals" in paid.run("status").stdout


def test_watching_needs_a_terminal_or_lines(world: World) -> None:
    result = world.run("status", "--watch")

    assert result.exit_code == 2
    assert "-o jsonl" in result.stderr


def test_the_trial_balance_adds_up(paid: World) -> None:
    rows = paid.json("ledger", "trial-balance")

    assert sum(row["balance"] for row in rows) == 0
    assert {row["code"]: row["balance"] for row in rows} == {
        "deferred_revenue": -999,
        "psp_clearing": 940,  # less the provider's fee, which came with the settlement
        "psp_fees": 59,
        "receivable": 0,
    }


def test_an_account_is_read_newest_first_from_a_cursor(paid: World) -> None:
    read = ("ledger", "account", "receivable", "--customer", "ada", "--limit", "1")

    (newest,) = paid.json(*read)
    (oldest,) = paid.json(*read, "--after", newest["cursor"])

    assert (newest["kind"], newest["amount"]) == ("payment_captured", -999)
    assert (oldest["kind"], oldest["amount"]) == ("invoice_issued", 999)
    assert paid.run(*read, "--after", "1").exit_code == 2


def test_a_ledger_that_holds_is_no_finding(paid: World) -> None:
    result = paid.run("ledger", "verify", "-o", "json")

    assert result.exit_code == 0
    assert [finding["severity"] for finding in json.loads(result.stdout)] == ["information"]


def test_a_ledger_that_was_tampered_with_is_a_finding(paid: World, db_url: str) -> None:
    import psycopg

    with psycopg.connect(db_url) as owner:
        owner.execute("ALTER TABLE ledger.postings DISABLE TRIGGER ALL")
        owner.execute("UPDATE ledger.postings SET amount = amount + 1 WHERE line = 1")

    assert paid.run("ledger", "verify").exit_code == 3
    assert paid.run("prove").exit_code == 3


def test_every_promise_is_proved(paid: World) -> None:
    proved = paid.json("prove")

    assert [result["promise"] for result in proved] == [1, 2, 3, 4, 5, 7, 8, 9, 10]
    assert all(result["holds"] and result["findings"] == [] for result in proved)
    assert all(result["differences"] == [] for result in proved)
    assert proved[0]["checked"]["cycles"] == 1


def test_what_differs_since_a_cycle_was_closed_has_an_exit_code_of_its_own(
    paid: World, db_url: str
) -> None:
    import psycopg

    with psycopg.connect(db_url) as owner:
        added = owner.execute(
            "INSERT INTO breaks (id, kind, dedupe_key, cycle_id, ours, theirs, suggested_cause,"
            " found_at, provider) SELECT gen_random_uuid(), 'refund_unknown', 'k', id, '{}', '{}',"
            " 'refund_unknown', closed_at + interval '1 day', 'stripe' FROM cycles"
            " WHERE state = 'closed'"
        )
        assert added.rowcount == 1

    proved = paid.run("prove")

    assert proved.exit_code == 6, proved.output
    assert "difference: cycle 0" in proved.stdout


def test_a_proof_waits_for_a_reconciler_that_the_clock_outran(paid: World) -> None:
    import threading

    from billing.store import tasks
    from billing.workers.daemons.reconciler import CLOSE, CONFIRM

    runtime = paid.runtime()

    def ran(watermark: datetime) -> None:
        with runtime.engine.begin() as conn:
            wall = runtime.clock.wall()
            for task in (CONFIRM, CLOSE):
                tasks.succeeded(conn, task, wall, seconds=0.0, watermark=watermark)

    def catch_up() -> None:
        paid.reconcile()
        ran(START + 28 * DAY)

    ran(START)
    paid.at(START + 28 * DAY)
    timer = threading.Timer(0.5, catch_up)
    timer.start()
    proved = paid.run("prove")
    timer.join()
    runtime.close()

    assert proved.exit_code == 0, proved.output
    assert "waiting for the reconciler" in proved.stderr


def test_a_proof_does_not_wait_for_a_reconciler_that_does_not_run(paid: World) -> None:
    paid.at(START + 28 * DAY)
    paid.at(START + 30 * DAY)

    proved = paid.run("prove")

    assert proved.exit_code == 3
    assert "never compared with the provider's list" in proved.stdout
    assert "waiting" not in proved.stderr


def test_published_plans_carry_minor_units(world: World) -> None:
    plan = world.json("plans", "show", "video-trial")

    assert plan["dunning"] == {"retry_after": ["3 days", "5 days"], "then": "unpaid"}
    assert plan["versions"][0]["prices"] == {"USD": 1999}
    assert "19.99 USD" in world.run("plans", "show").stdout


def test_secrets_are_masked(world: World) -> None:
    shown = world.json("config", "show")

    assert shown["providers.stripe.api_key"] == "********"
    assert "sk_test" not in world.run("config", "show").output


def test_a_card_that_changes_is_tried_at_once(declined: World) -> None:
    changed = declined.run("customers", "set-payment-method", "bob", "pm_card_visa")

    assert changed.exit_code == 0
    assert "1 waiting payment(s)" in changed.stderr
    declined.at(START)
    assert [payment["state"] for payment in declined.json("charges", "list")] == ["CAPTURED"]


def test_breaks_are_listed_until_they_are_resolved(paid: World) -> None:
    from billing.rules.reconciliation import BreakFound, BreakKind
    from billing.store.settlement import breaks

    runtime = paid.runtime()
    with runtime.engine.begin() as conn:
        duplicate = BreakFound(
            kind=BreakKind.DUPLICATE_CHARGE,
            subject="ch_1",
            ours={"amount": 999},
            theirs={"amount": 1998},
            provider="stripe",
        )
        breaks.record(conn, duplicate, now=START)
    (found,) = paid.json("breaks", "list", "--kind", "duplicate_charge")
    with runtime.engine.begin() as conn:
        breaks.explain(
            conn,
            "stripe",
            BreakKind.DUPLICATE_CHARGE,
            "ch_1",
            now=START + DAY,
            resolution="refunded",
        )
    runtime.close()

    assert paid.json("breaks", "show", found["id"])["theirs"] == {"amount": 1998}
    assert paid.json("breaks", "list") == []
    assert len(paid.json("breaks", "list", "--all")) == 1
