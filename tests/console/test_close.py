"""A month closed as finance does it: what is open and why, balances, tie-out, the proof."""

import csv
import io

import pytest

from tests.console.console_under_test import Browser, ConsoleUnderTest
from tests.console.test_pages import table
from tests.scenarios.world import World


def settled(world: World) -> None:
    """Let a month be billed, paid, settled and closed."""
    world.subscribed("video-premium")
    world.subscribed("video-premium", card="pm_sbx_ok_then_insufficient_funds")
    world.run_until("2026-01-31 12:00")
    for _ in range(3):
        world.close_books()
    world.run_until("2026-02-03")
    world.close_books()
    world.close_books()


@pytest.fixture
def closed(console: ConsoleUnderTest) -> ConsoleUnderTest:
    """An console whose January is closed."""
    settled(console.world)
    return console


def test_a_closed_month_says_so_and_prints_its_balances(
    closed: ConsoleUnderTest, ann: Browser
) -> None:
    page = ann.page("/console/close?month=2026-01")

    assert "Close of January 2026" in page.text
    assert "All 2 cycles are closed" in page.text
    assert "Nothing keeps a cycle of this month open." in page.text
    assert "The accounts in USD add up to zero." in page.text
    assert "The month is not over." in ann.page("/console/close?month=2026-02").text


def test_the_balances_of_a_month_follow_from_those_of_the_month_before(
    closed: ConsoleUnderTest, ann: Browser
) -> None:
    def balances(named: str) -> dict[tuple[str, str], dict[str, int]]:
        answer = ann.get(f"/console/close.csv?month={named}")
        return {
            (row["code"], row["currency"]): {
                name: int(row[name]) for name in ("opening", "debit", "credit", "closing")
            }
            for row in csv.DictReader(io.StringIO(answer.text))
        }

    january, february = balances("2026-01"), balances("2026-02")

    assert january[("receivable", "USD")]["opening"] == 0
    assert january[("deferred_revenue", "USD")]["credit"] == 2 * 1999
    for account, row in february.items():
        assert row["opening"] == january.get(account, {"closing": 0})["closing"], account
        assert row["closing"] == row["opening"] + row["debit"] - row["credit"], account
    assert sum(row["closing"] for row in february.values()) == 0


def test_what_keeps_cycles_open_leads_to_them(closed: ConsoleUnderTest, ann: Browser) -> None:
    page = ann.page("/console/close?month=2026-02")

    (link,) = [href for text, href in page.links if text == "not paid yet"]
    assert link == "/console/failed"
    assert len(table(ann, link)) == 1


def test_the_tie_out_is_that_of_the_last_run_until_the_provider_is_asked(
    closed: ConsoleUnderTest, ann: Browser
) -> None:
    closed.world.psp.take_money(700)

    kept = ann.page("/console/close?month=2026-01")
    now = ann.page("/console/close?month=2026-01&ask=yes")

    assert "As the last settlement runs found it." in kept.text
    assert "ties out" in kept.text
    assert "With the balances as the providers tell them now." in now.text
    assert "unexplained" in now.text
    (at,) = [n for n, row in enumerate(now.rows) if "as of" in row]
    row = dict(zip(now.rows[at], now.rows[at + 1], strict=True))
    assert row["unexplained"] != "0.00 USD"


def test_the_proof_is_made_on_demand(closed: ConsoleUnderTest, ann: Browser) -> None:
    page = ann.page("/console/close/prove")

    assert "Every promise holds" in page.text
    assert len([row for row in page.rows if row[-1:] == ["holds"]]) >= 9


@pytest.mark.parametrize("month", ["2026-13", "26-01", "January", "2026-1", "9999-01"])
def test_what_is_no_month_is_refused(ann: Browser, month: str) -> None:
    assert ann.get(f"/console/close?month={month}").status_code == 422


def test_an_empty_engine_has_nothing_to_close(ann: Browser) -> None:
    page = ann.page("/console/close")

    assert "Nothing was ever posted." in page.text
    assert "No settlement run has ended yet." in page.text
