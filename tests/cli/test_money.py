"""Refunds, disputes, captures and voids from the command line."""

import uuid
from datetime import timedelta

import pytest
import requests
from sqlalchemy import text

from billing.flows.disputes import dispute_updates
from billing.flows.payments import authorization_outcomes, authorization_sending
from billing.flows.refunds import sending as refund_sending
from tests.cli.world import START, World, me
from tests.waiting import PATIENCE


def payment_of(world: World) -> str:
    return str(world.json("charges", "list")[0]["id"])


def work(world: World) -> None:
    """Do what a worker does with refunds and authorisations."""
    runtime = world.runtime()
    try:
        for found in refund_sending.dispatch_due(runtime.context, limit=9):
            sending = refund_sending.begin(runtime.context, found)
            assert sending is not None
            answer = refund_sending.attempt(runtime.context, sending)
            refund_sending.finish(runtime.context, sending, answer)
        with runtime.engine.connect() as conn:
            query = text("SELECT id FROM payments WHERE state = 'AUTHORIZED'")
            waiting = list(conn.execute(query).scalars())
        for found in waiting:
            step = authorization_sending.begin(runtime.context, found)
            assert step is not None
            outcome = authorization_sending.attempt(runtime.context, step)
            authorization_outcomes.finish(runtime.context, step, outcome)
    finally:
        runtime.close()


def audited(world: World, subject: str) -> list[tuple[str, str, bool]]:
    """Return what the audit log has of a thing: what, why, and whether it names a person."""
    lines = world.json("audit", "list", "--subject", subject)
    return [(line["action"], line["why"], line["actor"] == me()) for line in lines]


# --- refunds ------------------------------------------------------------------------------------


def test_a_refund_is_shown_before_it_is_made(paid: World) -> None:
    payment = payment_of(paid)

    dry = paid.json("refunds", "create", payment, "--amount", "4.00", "--dry-run")
    assert (dry["dry_run"], dry["amount"], dry["refund_id"]) == (True, 400, None)
    refused = paid.run("refunds", "create", payment)
    assert refused.exit_code == 2
    assert "this will refund 9.99 USD" in refused.stderr
    assert "add --yes to go ahead" in refused.stderr
    assert paid.json("refunds", "list") == []

    made = paid.json("refunds", "create", payment, "--amount", "4.00", "--reason", "late", "--yes")

    (row,) = paid.json("refunds", "list")
    assert row["id"] == made["refund_id"]
    assert (row["amount"], row["currency"], row["state"]) == (400, "USD", "requested")
    assert (row["reason"], row["requested_by"]) == ("late", me())
    assert audited(paid, payment) == [("payment.refund", "late", True)]
    (line,) = paid.json("audit", "list", "--subject", payment)
    assert line["detail"] == {"amount": 400, "currency": "USD", "refund": row["id"]}


def test_a_refund_is_found_by_any_of_its_names(paid: World) -> None:
    payment = payment_of(paid)
    made = paid.json("refunds", "create", payment[:13], "--yes")["refund_id"]
    work(paid)

    shown = paid.json("refunds", "show", made)
    assert shown["state"] == "succeeded"
    assert paid.json("refunds", "show", shown["provider_refund_id"]) == shown
    assert paid.json("refunds", "show", made[:18]) == shown
    assert paid.json("refunds", "list", "--payment", payment, "--state", "succeeded") == [shown]
    assert paid.json("refunds", "list", "--state", "failed") == []
    table = paid.run("refunds", "show", made).stdout
    assert "9.99 USD" in table
    assert paid.json("charges", "show", payment)["state"] == "REFUNDED"
    missing = paid.run("refunds", "show", str(uuid.uuid4()))
    assert (missing.exit_code, "billing refunds list" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("10.00", "9.99 USD can be refunded, not 10.00 USD"),
        ("0", "more than nothing"),
        ("-1.00", "more than nothing"),
        ("1.001", "--amount"),
        ("much", "it is in USD"),
    ],
)
def test_an_amount_that_can_not_be_given_back_is_refused(
    paid: World, amount: str, says: str
) -> None:
    result = paid.run("refunds", "create", payment_of(paid), f"--amount={amount}", "--yes")

    assert result.exit_code == 2
    assert says in result.stderr
    assert paid.json("refunds", "list") == []


# --- disputes -----------------------------------------------------------------------------------


def test_disputes_are_listed_and_shown(paid: World) -> None:
    payment = paid.json("charges", "show", payment_of(paid))
    opened = requests.post(
        f"{paid.sandbox_url}/_sandbox/disputes",
        json={"payment_intent": payment["provider_payment_id"]},
        timeout=PATIENCE,
    ).json()["id"]
    runtime = paid.runtime()
    try:
        found = runtime.gateway.dispute_by_id(opened)
        assert found is not None
        with runtime.engine.begin() as conn:
            dispute_updates.apply(conn, found, provider="stripe", now=START)
    finally:
        runtime.close()

    (row,) = paid.json("disputes", "list", "--payment", payment["id"])
    assert (row["state"], row["amount"], row["fee"], row["fee_currency"]) == (
        "opened", 999, 1500, "USD",
    )  # fmt: skip
    assert paid.json("disputes", "show", opened) == row
    assert paid.json("disputes", "show", row["id"]) == row
    assert paid.json("disputes", "list", "--state", "lost") == []
    assert "9.99 USD" in paid.run("disputes", "list").stdout
    refused = paid.run("refunds", "create", payment["id"], "--yes")
    assert (refused.exit_code, "in dispute" in refused.stderr) == (2, True)


# --- authorisations -----------------------------------------------------------------------------


@pytest.fixture
def authorised(paid: World) -> tuple[World, str]:
    """An authorised payment of 50.00 USD, without an invoice."""
    runtime = paid.runtime()
    payment_id = uuid.uuid4()
    try:
        with runtime.engine.begin() as conn:
            conn.execute(
                text(
                    "INSERT INTO payments (id, customer_id, payment_method_id, amount, currency,"
                    " state, capture_method, next_attempt_at, next_attempt_kind, dispatch_after,"
                    " created_at, updated_at)"
                    " SELECT :id, customer_id, id, 5000, 'USD', 'CREATED', 'manual', :now, 'first',"
                    " 'epoch', :now, :now FROM payment_methods"
                ),
                {"id": payment_id, "now": START},
            )
    finally:
        runtime.close()
    paid.at(START)
    return paid, str(payment_id)


def test_a_part_of_an_authorisation_is_captured(authorised: tuple[World, str]) -> None:
    world, payment = authorised
    assert world.json("charges", "show", payment)["state"] == "AUTHORIZED"

    dry = world.json("charges", "capture", payment, "--amount", "18.00", "--dry-run")
    assert (dry["dry_run"], dry["amount"]) == (True, 1800)
    asked = world.run("charges", "capture", payment)
    assert (asked.exit_code, "add --yes" in asked.stderr) == (2, True)
    world.json("charges", "capture", payment, "--amount", "18.00", "--yes")
    work(world)

    shown = world.json("charges", "show", payment)
    assert (shown["state"], shown["amount"], shown["amount_captured"]) == ("CAPTURED", 5000, 1800)
    assert audited(world, payment) == [("payment.capture", "", True)]


def test_an_authorisation_is_given_up(authorised: tuple[World, str]) -> None:
    world, payment = authorised
    before = world.json("charges", "show", payment)
    world.json("charges", "void", payment, "--dry-run")
    assert world.json("charges", "show", payment) == before

    world.json("charges", "void", payment, "--reason", "sold out", "--yes")
    work(world)

    shown = world.json("charges", "show", payment)
    assert (shown["state"], shown["decision"]) == ("FAILED", f"voided by {me()}: sold out")
    assert audited(world, payment) == [("payment.void", "sold out", True)]
    again = world.run("charges", "void", payment, "--yes")
    assert (again.exit_code, "is FAILED, not authorised" in again.stderr) == (2, True)


def test_who_retries_a_payment_is_in_the_audit_log(declined: World) -> None:
    payment = payment_of(declined)

    declined.json("charges", "retry", payment, "--reason", "she called", "--yes")
    refused = declined.run("charges", "retry", payment[:8] + "0" * 8, "--yes")

    assert audited(declined, payment) == [("payment.retry", "she called", True)]
    assert refused.exit_code == 2
    assert len(declined.json("audit", "list")) == 1


def test_more_than_was_authorised_is_not_captured(authorised: tuple[World, str]) -> None:
    world, payment = authorised

    result = world.run("charges", "capture", payment, "--amount", "50.01", "--yes")

    assert (result.exit_code, "can't be captured" in result.stderr) == (2, True)
    world.at(START + timedelta(days=1))
    assert world.json("charges", "show", payment)["state"] == "AUTHORIZED"


def test_the_explanation_tells_what_went_back_and_what_was_earned(paid: World) -> None:
    payment = payment_of(paid)
    paid.json("refunds", "create", payment, "--amount", "4.00", "--reason", "late", "--yes")
    work(paid)

    told = paid.run("charges", "explain", payment).stdout

    assert "GIVEN BACK" in told
    assert f"of 4.00 USD, asked for on 2026-01-31 09:00 UTC by {me()} (late), is succeeded." in told
    assert "0.00 USD of 9.99 USD were earned." in told
    assert "5.99 USD are still to be earned, the next on 2026-02-28" in told
    assert "refund_succeeded" in told


def test_the_explanation_tells_what_follows_an_authorisation(
    authorised: tuple[World, str],
) -> None:
    world, payment = authorised

    told = world.run("charges", "explain", payment).stdout
    assert "It waits to be captured; when nobody does, it is voided on 2026-02-07" in told
    world.json("charges", "capture", payment, "--amount", "18.00", "--yes")
    told = world.run("charges", "explain", payment).stdout

    assert "18.00 USD are to be captured since" in told
