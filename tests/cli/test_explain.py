"""`billing explain`: each reason for being, or not being, charged, in words."""

from datetime import timedelta

from tests.cli.world import DAY, START, World
from tests.scenarios.metering import CATALOG as METERED


def told(world: World, *args: str) -> dict[str, str]:
    sections = world.json(*args)["sections"]
    return {section["title"]: "\n".join(section["sentences"]) for section in sections}


def test_a_captured_payment_is_explained_from_plan_to_journal(paid: World) -> None:
    (payment,) = paid.json("charges", "list")

    words = told(paid, "charges", "explain", payment["id"])

    assert list(words) == [
        "payment", "terms", "schedule", "invoice", "attempts", "next step", "revenue", "journal",
        "cycle",
    ]  # fmt: skip
    assert "collects 9.99 USD from Ada (ada)" in words["payment"]
    assert "effective from 2026-01-01: 9.99 USD a unit, every 1 month" in words["terms"]
    assert "latest on sale on the day it started" in words["terms"]
    assert "counted from 2026-01-31 09:00 in UTC" in words["schedule"]
    assert "1 x 9.99 USD = 9.99 USD" in words["invoice"]
    assert "visa ending in 4242" in words["attempts"]
    assert "succeeded on 2026-01-31 09:00 UTC" in words["attempts"]
    assert "9.99 USD were captured" in words["next step"]
    assert "debit psp_clearing 9.99 USD, credit receivable 9.99 USD" in words["journal"]
    assert "closed on 2026-01-31 09:00 UTC" in words["cycle"]


def test_the_invoice_number_stands_for_its_payment(paid: World) -> None:
    (invoice,) = paid.json("invoices", "list")

    by_number = paid.run("explain", invoice["number"]).stdout

    assert by_number == paid.run("explain", invoice["payment_id"]).stdout
    assert by_number.startswith("PAYMENT\n  Payment ")


def test_a_declined_payment_says_what_follows(declined: World) -> None:
    words = told(declined, "explain", "bob-sub")

    assert "declined (generic_decline, soft" in words["attempts"]
    assert "What followed from attempt 1: " in words["attempts"]
    assert "rung 1 of 3" in words["attempts"]
    assert "An attempt (ladder) follows on 2026-02-03 09:00 UTC." in words["next step"]
    assert "held open by its invoice" in words["cycle"]
    assert "It is past due" in words["now"]


def test_a_payment_that_was_given_up_says_why(declined: World) -> None:
    for days in (3, 8, 15):
        declined.at(START + days * DAY)

    words = told(declined, "explain", "bob-sub")

    assert "It is not charged: it was canceled on 2026-02-15" in words["now"]
    assert "nothing is scheduled" in words["next period"]
    assert "all 3 rungs are used" in words["next step"]
    assert "write_off" in words["journal"]
    assert "until then a new payment method can still pay for it" in words["cycle"]


def test_a_paused_subscription_says_so(paid: World) -> None:
    paid.run("subscriptions", "pause", "ada-sub", "--reason", "holiday")

    words = told(paid, "explain", "ada-sub")

    assert "it is paused" in words["now"]
    assert "active -> paused: holiday" in words["subscription"]
    assert "passes unbilled" in words["next period"]


def test_a_cycle_of_a_pause_has_no_invoice_and_no_entry(paid: World) -> None:
    paid.run("subscriptions", "pause", "ada-sub")
    paid.at(START + 28 * DAY)

    words = told(paid, "explain", "ada-sub")

    assert "kind paused" in words["schedule"]
    assert "There is none" in words["invoice"]
    assert "Nothing was posted" in words["journal"]
    assert "Nothing holds it open" in words["cycle"]


def test_a_trial_is_not_charged_until_it_ends(world: World) -> None:
    world.subscribed("bob", "video-trial")
    world.at(START)

    words = told(world, "explain", "bob-sub")

    assert "It is trialing." in words["subscription"]
    assert "not due until 2026-02-14 09:00 UTC" in words["now"]
    assert "kind trial, which costs nothing" in words["schedule"]


def test_a_parked_subscription_says_with_what_error(paid: World) -> None:
    from billing.flows.cycles import opening
    from billing.flows.cycles.deciding import CannotOpen
    from billing.rules.subscriptions import CatchUpReason, ParkedReason
    from billing.store.subscriptions import subscriptions

    why = CannotOpen(ParkedReason.CATCH_UP, missed=4, cap=3, catch_up=CatchUpReason.OVER_CAP)
    runtime = paid.runtime()
    with runtime.engine.begin() as conn:
        found = subscriptions.find(conn, "ada-sub")
        assert found is not None
        opening.park(conn, found, START, why)
    runtime.close()

    words = told(paid, "explain", "ada-sub")

    assert (
        "parked on 2026-01-31 09:00 UTC (catch_up): 4 missed periods, more than the cap of 3 that"
        " are billed at once: release it with --bill or --skip"
    ) in words["now"]
    shown = paid.json("subscriptions", "show", "ada-sub")
    assert shown["parked_error"].startswith("4 missed periods")
    assert paid.json("parked", "show", "ada-sub")["error"] == shown["parked_error"]
    assert "billing parked release" in words["now"]


def test_a_subscription_that_ends_with_its_period_says_so(paid: World) -> None:
    paid.run("subscriptions", "cancel", "ada-sub", "--at-period-end", "--yes")

    assert (
        "canceled when the open period ends, 2026-02-28" in told(paid, "explain", "ada-sub")["now"]
    )


def test_one_that_is_due_waits_for_a_scheduler(world: World) -> None:
    world.subscribed("ada", "video-basic")

    words = told(world, "explain", "ada-sub")

    assert "It is due: period 0 began on 2026-01-31 09:00 UTC" in words["now"]
    assert list(words) == ["subscription", "now", "next period"]


def test_one_with_meters_says_until_when_it_waits_for_usage(world: World) -> None:
    (world.folder / "catalog" / "search.toml").write_text(METERED)
    assert world.run("plans", "apply", "--yes").exit_code == 0
    world.subscribed("ada", "metered")
    world.at(START + timedelta(days=1))
    boundary = START + timedelta(days=28)

    world.at(boundary + timedelta(minutes=30))
    waits = told(world, "explain", "ada-sub")["now"]
    world.at(boundary + timedelta(minutes=60))
    goes_on = told(world, "explain", "ada-sub")["now"]

    assert "It waits for usage until 2026-02-28 10:00 UTC: period 1 began on 2026-02-28" in waits
    assert "It waits for usage" not in goes_on


def test_a_move_to_new_terms_is_explained(paid: World) -> None:
    file = paid.folder / "catalog" / "video.toml"
    versions = """
  [[plan.version]]
  effective = 2026-02-01
  existing = "move"
  price = { USD = "12.99", EUR = "11.99" }

  [[plan.version]]
  effective = 2026-02-15
  price = { USD = "14.99", EUR = "13.99" }

[[plan]]
code = "video-trial\""""
    file.write_text(file.read_text().replace('\n[[plan]]\ncode = "video-trial"', versions))
    paid.run("plans", "apply", "--yes")
    paid.at(START + 28 * DAY)

    terms = told(paid, "explain", "ada-sub")["terms"]

    assert "effective from 2026-02-01: 12.99 USD a unit" in terms
    assert "It moved to them from those of 2026-01-01" in terms
    assert 'The terms of 2026-02-15 say existing = "keep"' in terms


def test_an_unknown_outcome_is_explained(world: World) -> None:
    from billing.workers.demo.sandbox import SandboxControl

    world.subscribed("ada", "video-basic")
    control = SandboxControl(world.sandbox_url)
    control.fault(
        kind="reset_after_commit",
        times=1,
        match={"method": "POST", "path": "/v1/payment_intents"},
    )
    world.at(START)

    words = told(world, "explain", "ada-sub")

    assert "unknown since 2026-01-31 09:00 UTC" in words["attempts"]
    assert "no other attempt is made meanwhile" in words["attempts"]
    assert "The open attempt is sent again, or looked up" in words["next step"]
    assert world.json("charges", "list", "--unknown")[0]["state"] == "CREATED"
    assert world.json("status")["unknown_attempts"] == 1
