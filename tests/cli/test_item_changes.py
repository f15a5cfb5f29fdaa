"""`billing subscriptions change`: quoted, confirmed, made, withdrawn and told."""

from datetime import datetime

import pytest

from tests.cli.world import World

CHANGE = ("subscriptions", "change", "ada-sub")


@pytest.fixture
def midway(paid: World) -> World:
    """Ada has paid for a month from 31 January, half of which is over."""
    paid.at(datetime.fromisoformat("2026-02-14T09:00Z"))
    return paid


def test_a_quote_shows_the_exact_invoice_and_changes_nothing(midway: World) -> None:
    before = midway.json("subscriptions", "show", "ada-sub")

    quote = midway.json(*CHANGE, "--quantity", "3", "--when", "now", "--quote")

    assert (quote["dry_run"], quote["id"], quote["applies"]) == (True, None, "now")
    # 2 x 9.99 for 14 of 28 days
    assert (quote["invoice"]["due"], quote["notes"]) == (999, [])
    assert midway.json("subscriptions", "show", "ada-sub") == before


def test_what_was_quoted_is_made_and_told(midway: World) -> None:
    order = (*CHANGE, "--quantity", "3", "--when", "now", "--reason", "grows")
    quote = midway.json(*order, "--quote")

    done = midway.json(*order, "--yes", "--quote-digest", quote["digest"])

    assert {**done, "id": None, "dry_run": True, "holds_from": quote["holds_from"]} == quote
    assert midway.json("subscriptions", "show", "ada-sub")["quantity"] == 3
    lines = midway.lines("subscriptions", "timeline", "ada-sub")
    assert "video-basic (base 1) -> video-basic (base 3): grows" in [line["what"] for line in lines]
    assert [line["what"] for line in lines if line["kind"] == "invoice_issued"][-1].endswith(
        "-0000-1, 9.99 USD"
    )


def test_a_quote_that_moved_is_refused(midway: World) -> None:
    quote = midway.json(*CHANGE, "--quantity", "3", "--when", "now", "--quote")
    midway.at(datetime.fromisoformat("2026-02-15T09:00Z"))

    refused = midway.run(
        *CHANGE, "--quantity", "3", "--when", "now", "--yes", "--quote-digest", quote["digest"]
    )

    assert refused.exit_code == 2
    assert "has moved" in refused.stderr
    assert "--quote" in refused.stderr


def test_it_is_asked_for_and_says_what_it_will_do(midway: World) -> None:
    refused = midway.run(*CHANGE, "--quantity", "3", input="n\n")

    assert refused.exit_code != 0
    assert "this will hold from 2026-02-14 09:00 UTC on" in refused.stderr
    assert midway.json("subscriptions", "show", "ada-sub")["quantity"] == 1


def test_a_change_for_the_period_end_is_withdrawn(midway: World) -> None:
    done = midway.json(*CHANGE, "--quantity", "3", "--when", "period_end", "--yes")

    withdrawn = midway.json("subscriptions", "withdraw-change", "ada-sub", done["id"])
    again = midway.run("subscriptions", "withdraw-change", "ada-sub", done["id"])

    assert withdrawn["change_id"] == done["id"]
    assert again.exit_code == 2
    last = midway.lines("subscriptions", "timeline", "ada-sub")[-1]
    assert last["kind"] == "change_withdrawn"


def test_fewer_units_now_are_told_as_given_back(midway: World) -> None:
    midway.json(*CHANGE, "--quantity", "3", "--when", "now", "--yes")
    midway.at(datetime.fromisoformat("2026-02-14T10:00Z"))

    shown = midway.run(*CHANGE, "--quantity", "1", "--when", "now", "--quote").stdout

    assert "given back to credit, of invoice" in shown
    assert "9.99 USD" in shown
    assert "nothing is invoiced for it" in shown


def test_fewer_units_now_are_refunded_where_that_is_asked_for(midway: World) -> None:
    midway.run(*CHANGE, "--quantity", "3", "--when", "now", "--yes", "--reason", "grows")
    midway.at(datetime.fromisoformat("2026-02-14T10:00Z"))
    less = (*CHANGE, "--quantity", "1", "--when", "now", "--refund", "--reason", "shrinks")

    quote = midway.json(*less, "--quote")
    told = midway.run(*less, "--yes").stdout
    midway.at(datetime.fromisoformat("2026-02-14T11:00Z"))

    assert [(note["destination"], note["total"]) for note in quote["notes"]] == [("refund", 999)]
    assert "refunded, of invoice" in told
    assert [each["amount"] for each in midway.json("refunds", "list")] == [999]


def test_nothing_to_change_is_refused(midway: World) -> None:
    for order in ((), ("--quantity", "1"), ("--item", "seats=3"), ("--item", "seats")):
        assert midway.run(*CHANGE, *order, "--yes").exit_code == 2


def test_a_pause_has_a_length_and_an_end_a_date(midway: World) -> None:
    midway.json("subscriptions", "pause", "ada-sub", "--for", "2")
    told = midway.lines("subscriptions", "timeline", "ada-sub")[-1]["what"]
    midway.json("subscriptions", "resume", "ada-sub", "--on", "2026-06-01")
    later = midway.lines("subscriptions", "timeline", "ada-sub")[-1]["what"]
    done = midway.json("subscriptions", "cancel", "ada-sub", "--on", "2026-08-15", "--yes")

    assert told == "active -> paused until 2026-04-30 09:00 UTC: no reason given"
    assert later == "paused until 2026-06-01 00:00 UTC: no reason given"
    assert done["words"].endswith("at 2026-08-31 09:00 UTC")
    assert midway.json("subscriptions", "show", "ada-sub")["status"] == "paused"


def test_when_to_cancel_is_said_once(midway: World) -> None:
    refused = midway.run("subscriptions", "cancel", "ada-sub", "--now", "--on", "2026-08-15")

    assert refused.exit_code == 2
    assert "--on DATE" in refused.stderr


def test_the_payment_of_a_change_is_explained(midway: World) -> None:
    midway.json(*CHANGE, "--quantity", "3", "--when", "now", "--yes")
    midway.at(datetime.fromisoformat("2026-02-14T10:00Z"))
    payment = next(
        each for each in midway.json("charges", "list") if each["invoice_number"].endswith("-1")
    )

    explained = midway.run("explain", payment["id"])
    shown = midway.run("invoices", "show", payment["invoice_number"])

    assert (explained.exit_code, shown.exit_code) == (0, 0), explained.output
    assert "14 of 28 days" in explained.stdout + shown.stdout


def test_a_billing_day_and_a_zone_are_quoted_and_made(midway: World) -> None:
    order = (*CHANGE, "--billing-day", "15", "--zone", "Europe/Berlin", "--reason", "moved")
    quote = midway.json(*order, "--quote")

    done = midway.json(*order, "--yes", "--quote-digest", quote["digest"])

    periods = done["periods"]
    assert (done["applies"], periods["n"]) == ("period_end", 1)
    assert (periods["before"]["anchor_day"], periods["after"]["anchor_day"]) == (None, 15)
    assert (periods["before"]["zone"], periods["after"]["zone"]) == ("UTC", "Europe/Berlin")
    last = midway.lines("subscriptions", "timeline", "ada-sub")[-1]
    assert "are every 1 month, on day 15 in Europe/Berlin; before: every 1 month" in last["what"]


def test_a_billing_day_that_no_month_has_is_refused(midway: World) -> None:
    refused = midway.run(*CHANGE, "--billing-day", "32", "--quote")

    assert refused.exit_code == 2
    assert "from 1 to 31" in refused.stderr


@pytest.mark.parametrize("to", ["credit", "refund"])
def test_a_cancellation_says_what_it_gives_back_and_gives_it_back(midway: World, to: str) -> None:
    order = ("subscriptions", "cancel", "ada-sub", "--now", f"--{to}", "--reason", "moved away")
    told = midway.json(*order, "--dry-run")
    untouched = midway.json("credit-notes", "list")

    done = midway.json(*order, "--yes")

    # 14 of 28 days of 9.99
    (note,) = midway.json("credit-notes", "list")
    number = note["invoice_number"]
    assert told["words"].endswith(
        f"5.00 USD of invoice {number} {'becomes credit' if to == 'credit' else 'is refunded'}"
    )
    assert told["credit_notes"] == [
        {"invoice": number, "destination": to, "currency": "USD", "total": 500}
    ]
    assert done["credit_notes"] == told["credit_notes"]
    assert (untouched, note["total"], note["destination"]) == ([], 500, to)
    assert midway.json("subscriptions", "show", "ada-sub")["status"] == "canceled"


def test_only_a_cancellation_at_once_gives_back(midway: World) -> None:
    refused = midway.run("subscriptions", "cancel", "ada-sub", "--at-period-end", "--credit")

    assert refused.exit_code == 2
    assert "given back only now" in refused.stderr


def test_explain_tells_what_is_held_in_the_next_period(midway: World) -> None:
    def told() -> str:
        text: str = midway.run("explain", "ada-sub").stdout
        return text.partition("NEXT PERIOD")[2].partition("TERMS")[0]

    assert "It is for video-basic then, with base 1." in told()
    midway.json(*CHANGE, "--quantity", "3", "--when", "period_end", "--yes")
    assert "It is for video-basic then, with base 3." in told()
