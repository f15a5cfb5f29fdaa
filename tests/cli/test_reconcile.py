"""Reconciling, looking into breaks and closing, from the command line."""

import getpass
import json
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from billing.store import tasks
from tests.cli.world import START, World
from tests.waiting import PATIENCE


def take_money(world: World, amount: int = 700) -> None:
    answer = requests.post(
        f"{world.sandbox_url}/_sandbox/payment_intents",
        json={"amount": amount, "currency": "usd"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 200, answer.text


def unknown_charge(world: World) -> str:
    """Take money that the engine knows nothing of, reconcile, and return the break."""
    take_money(world)
    assert world.run("reconcile", "run").exit_code == 3
    (found,) = world.json("breaks", "list")
    assert found["kind"] == "unknown_at_provider"
    return str(found["id"])


def report(world: World, folder: Path) -> Path:
    """Let the provider make a report of all that it hasn't paid out."""
    made = requests.post(
        f"{world.sandbox_url}/_sandbox/reports",
        json={
            "report_type": "ending_balance_reconciliation.itemized.4",
            "parameters": {
                "interval_end": int((START + timedelta(days=30)).timestamp()),
                "columns": [
                    "balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
                    "reporting_category", "source_id", "charge_id", "payment_intent_id",
                ],
            },
        },
        timeout=PATIENCE,
    ).json()  # fmt: skip
    path = folder / "report.csv"
    path.write_bytes(requests.get(made["result"]["url"], timeout=PATIENCE).content)
    return path


def steps(found: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in found["steps"]}


def test_a_run_is_shown_with_its_steps_and_again_in_the_list(paid: World) -> None:
    done = paid.json("reconcile", "run")

    assert (done["state"], done["source"]) == ("succeeded", "provider")
    assert set(steps(done).values()) == {"succeeded"}
    listed = paid.json("reconcile", "status")
    assert listed[0]["id"] == done["id"]
    assert listed[0]["step"] is None
    assert steps(paid.json("reconcile", "status", done["id"])) == steps(done)


def test_an_account_is_named_or_each_is_taken(paid: World, tmp_path: Path) -> None:
    assert paid.run("reconcile", "run", "--provider", "nowhere").exit_code == 2
    assert paid.run("close", "show", "--provider", "nowhere").exit_code == 2
    file = report(paid, tmp_path)
    assert paid.run("reconcile", "import", str(file), "--provider", "nowhere").exit_code == 2

    done = paid.json("reconcile", "run", "--provider", "stripe")

    assert (done["provider"], done["state"]) == ("stripe", "succeeded")
    found = paid.json("close", "show", "--provider", "stripe")
    assert [line["account"] for line in found["tie_out"]] == ["stripe"]


def test_nothing_is_reconciled_before_money_moved(world: World) -> None:
    assert paid_nothing(world) == {"run": None}


def paid_nothing(world: World) -> Any:
    return world.json("reconcile", "run")


def test_new_breaks_end_with_three(paid: World) -> None:
    take_money(paid)

    done = paid.run("reconcile", "run")

    assert done.exit_code == 3
    assert "1 new break(s)" in done.stderr
    assert paid.run("reconcile", "run").exit_code == 0, "they are new once"


def test_the_zone_of_a_report_is_one_of_the_zone_data(paid: World, tmp_path: Path) -> None:
    file = report(paid, tmp_path)

    refused = paid.run("reconcile", "import", str(file), "--time-zone", "Mars/Olympus")

    assert refused.exit_code == 2
    assert "'Mars/Olympus' is not an IANA time zone" in refused.stderr
    assert paid.run("reconcile", "import", str(file), "--time-zone", "Asia/Tokyo").exit_code == 0


def test_a_report_is_imported_once(paid: World, tmp_path: Path) -> None:
    file = report(paid, tmp_path)

    done = paid.json("reconcile", "import", str(file))

    assert (done["state"], done["source"]) == ("succeeded", "report")
    assert paid.json("reconcile", "import", str(file))["id"] == done["id"]


def test_the_breaks_of_a_report_are_new_once(paid: World, tmp_path: Path) -> None:
    take_money(paid)
    file = report(paid, tmp_path)
    first = paid.run("reconcile", "import", str(file))
    assert (first.exit_code, "1 new break(s)" in first.stderr) == (3, True)

    again = paid.run("reconcile", "import", str(file))

    assert again.exit_code == 0
    assert "imported before" in again.stderr


def test_a_malformed_report_is_one_error_with_line_and_column(paid: World, tmp_path: Path) -> None:
    file = report(paid, tmp_path)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:1], lines[1].replace("9.99", "9,99"), *lines[2:]]))

    done = paid.run("reconcile", "import", str(file))

    assert done.exit_code == 1
    assert f"where: {file}:2, column" in done.stderr
    assert not done.stdout

    (run,) = paid.json("reconcile", "status", "--limit", "1")
    assert (run["state"], run["step"]) == ("failed", "stage")


def test_a_file_that_is_not_there_is_bad_input(paid: World) -> None:
    done = paid.run("reconcile", "import", "none.csv")

    assert done.exit_code == 2
    assert "can't be read" in done.stderr


def test_a_break_is_assigned_annotated_and_resolved(paid: World) -> None:
    found = unknown_charge(paid)
    assert paid.run("breaks", "assign", found, "ann").exit_code == 0
    assert paid.run("breaks", "annotate", found, "asked the shop").exit_code == 0
    assert paid.json("breaks", "list", "--assigned-to", "ann")[0]["id"] == found

    plan = paid.json("breaks", "resolve", found, "--reason", "sold at the counter", "--dry-run")
    assert plan["suggested"] == "6.50 USD"
    assert paid.json("breaks", "show", found)["resolved_at"] is None
    done = paid.json(
        "breaks", "resolve", found, "--reason", "sold at the counter", "--adjust", "suggested",
        "--yes",
    )  # fmt: skip

    assert done["adjustment"] == "6.50 USD"
    shown = paid.json("breaks", "show", found)
    assert shown["resolution"] == "sold at the counter"
    assert shown["resolved_by"] == f"cli:{getpass.getuser()}"
    assert [note["words"] for note in shown["notes"]][:2] == ["assigned to ann", "asked the shop"]
    assert {note["actor"] for note in shown["notes"]} == {shown["resolved_by"]}
    assert paid.json("breaks", "list") == []
    again = paid.run("breaks", "resolve", found, "--reason", "x", "--yes")
    assert again.exit_code == 2
    assert "sold at the counter" in again.stderr


def test_resolving_asks_first_and_takes_only_real_amounts(paid: World) -> None:
    found = unknown_charge(paid)

    asked = paid.run("breaks", "resolve", found, "--reason", "x")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    for amount in ("7", "7.00", "7.001 USD", "7,00 USD", "x USD"):
        refused = paid.run("breaks", "resolve", found, "--reason", "x", "--adjust", amount, "--yes")
        assert refused.exit_code == 2, amount
        assert "--adjust" in refused.stderr
    assert paid.json("breaks", "list")[0]["id"] == found


def test_many_breaks_are_resolved_at_once_each_by_what_it_lacks(paid: World) -> None:
    first = unknown_charge(paid)
    take_money(paid, 900)
    paid.run("reconcile", "run")
    ids = [each["id"] for each in paid.json("breaks", "list")]
    assert (len(ids), first in ids) == (2, True)
    given = ("--reason", "sold at the counter", "--yes")

    refused = paid.run("breaks", "resolve", *ids, *given, "--adjust", "1.00 USD")
    assert (refused.exit_code, len(paid.json("breaks", "list"))) == (2, 2)
    planned = paid.json("breaks", "resolve", *ids, "--reason", "x", "--dry-run")
    done = paid.json("breaks", "resolve", *ids, ids[0], *given, "--adjust", "suggested")

    assert [each["id"] for each in done] == ids
    assert [each["adjustment"] for each in done] == [each["suggested"] for each in planned]
    assert paid.json("breaks", "list") == []
    assert paid.run("prove").exit_code == 0


def test_somebody_is_assigned_or_nobody_but_not_both(paid: World) -> None:
    found = unknown_charge(paid)

    assert paid.run("breaks", "assign", found).exit_code == 2
    assert paid.run("breaks", "assign", found, "ann", "--nobody").exit_code == 2
    assert paid.run("breaks", "assign", found, "--nobody").exit_code == 0


def test_the_close_report_ties_out(paid: World) -> None:
    paid.reconcile()

    found = paid.json("close", "show")

    assert (found["cycles_closed"], found["cycles_open"]) == (1, 0)
    (line,) = found["tie_out"]
    assert line["provider"] == line["clearing"]
    assert (line["unexplained"], line["reasons"]) == (0, {})
    assert sum(row["balance"] for row in found["trial_balance"]) == 0
    assert "tie out" in paid.run("close", "show").stderr


def test_the_preview_says_what_keeps_a_cycle_open(paid: World) -> None:
    now = paid.json("clock", "show")["now"]
    assert now
    with_break = unknown_charge(paid)

    found = {row["why"]: row["count"] for row in paid.json("close", "preview")}

    assert with_break
    assert found == {}, "an unknown charge is nobody's cycle"
    shown = paid.run("close", "show", "--offline", "-o", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["tie_out"] == []


def test_the_close_report_explains_what_differs(paid: World) -> None:
    unknown_charge(paid)

    (line,) = paid.json("close", "show")["tie_out"]

    assert line["provider"] - line["clearing"] == 650
    assert line["reasons"] == {"settled_not_posted": 650}
    assert line["why"] == ["settled by the provider, not matched or posted yet: 6.50 USD"]


# --- step by step -------------------------------------------------------------------------------

STEPS = ("fetch", "stage", "match", "correct", "post", "close")
NIGHT = ("--as-of", f"{START:%Y-%m-%dT%H:%M:%SZ}")


def subscribed(world: World) -> None:
    """Charge one customer, and reconcile nothing."""
    world.subscribed("ada", "video-basic")
    world.at(START)


def test_a_night_is_taken_step_by_step(world: World) -> None:
    subscribed(world)

    early = world.run("reconcile", "run", "--step", "post", *NIGHT)
    codes = [world.run("reconcile", "run", "--step", name, *NIGHT).exit_code for name in STEPS]
    again = world.json("reconcile", "run", "--step", "match", *NIGHT)

    assert (early.exit_code, "fetch comes first" in early.stderr) == (7, True)
    assert codes == [0] * 6
    assert (again["standing"], again["provider"], again["words"]) == ("done", "stripe", None)
    assert again["counts"]["matched"] == 1
    (task,) = [each for each in world.json("status")["tasks"] if each["task"] == "settle"]
    assert task["last_success_at"] is not None
    assert world.json("close", "show")["tie_out"][0]["unexplained"] == 0


def test_an_earlier_night_that_is_asked_for_again_sets_no_watermark_back(world: World) -> None:
    subscribed(world)
    earlier = ("--as-of", f"{START - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}")

    def done_until(*night: str) -> list[datetime | None]:
        for name in STEPS:
            assert world.run("reconcile", "run", "--step", name, *night).exit_code == 0
        with closing(world.runtime()) as runtime, runtime.engine.connect() as conn:
            return [tasks.watermark(conn, task) for task in ("settle", "close")]

    assert done_until(*NIGHT) == [START, START]
    assert done_until(*earlier) == [START, START]


def test_a_step_that_finds_breaks_ends_with_three_however_often_it_is_asked_for(
    world: World,
) -> None:
    subscribed(world)
    take_money(world)
    for name in ("fetch", "stage"):
        assert world.run("reconcile", "run", "--step", name, *NIGHT).exit_code == 0

    for _ in range(2):
        matched = world.run("reconcile", "run", "--step", "match", *NIGHT)
        assert (matched.exit_code, "1 new break(s)" in matched.stderr) == (3, True)


def test_a_step_whose_provider_is_away_is_to_be_tried_again(world: World) -> None:
    subscribed(world)

    away = {"BILLING__PROVIDERS__STRIPE__API_BASE": "http://127.0.0.1:9"}
    first = world.run("reconcile", "run", "--step", "fetch", *NIGHT, **away)
    second = world.run("reconcile", "run", "--step", "fetch", *NIGHT)

    assert (first.exit_code, second.exit_code) == (4, 4)
    assert "try again" in second.stderr


def test_what_is_no_step_of_a_night_is_bad_input(world: World) -> None:
    for words in (
        ("--step", "fetch"),
        NIGHT,
        ("--step", "ship", *NIGHT),
        ("--step", "fetch", "--as-of", "tonight"),
        ("--step", "fetch", "--as-of", "2099-01-01T00:00:00Z"),
    ):
        assert world.run("reconcile", "run", *words).exit_code == 2, words


def test_where_no_money_moved_every_step_is_done(world: World) -> None:
    for name in STEPS:
        done = world.run("reconcile", "run", "--step", name, *NIGHT)
        assert (done.exit_code, "nothing to reconcile" in done.stderr) == (0, True)
