"""Credit from the command line: granted, looked at, revoked."""

import uuid

import pytest

from tests.cli.test_money import audited
from tests.cli.world import START, World

OWN = "018f0000-0000-7000-8000-0000000000a1"


@pytest.fixture
def held(world: World) -> World:
    """Return a world in which Ada subscribes and nothing is billed yet."""
    world.subscribed("ada", "video-basic")
    return world


def grant(world: World, *more: str, amount: str = "15.00") -> dict[str, object]:
    found: dict[str, object] = world.json(
        "credit", "grant", "ada", amount, "--currency", "USD", "--reason", "outage", "--yes", *more
    )
    return found


def test_a_grant_is_shown_before_it_is_made(held: World) -> None:
    asked = ("credit", "grant", "ada", "15.00", "--currency", "usd")

    dry = held.json(*asked, "--dry-run")
    refused = held.run(*asked)

    assert (dry["dry_run"], dry["amount"], dry["grant_id"]) == (True, 1500, None)
    assert refused.exit_code == 2
    assert "this will grant 15.00 USD of credit" in refused.stderr
    assert "add --yes to go ahead" in refused.stderr
    assert held.json("credit", "list") == []


def test_a_grant_pays_and_is_listed_with_what_is_left(held: World) -> None:
    made = grant(held, "--expires", "2026-12-31", "--priority", "7")
    held.at(START)

    (row,) = held.json("credit", "list", "ada")
    shown = held.json("credit", "show", str(row["id"])[:13])

    assert row["id"] == made["grant_id"]
    assert (row["amount"], row["left"], row["currency"]) == (1500, 501, "USD")
    assert (row["priority"], row["expires_at"]) == (7, "2026-12-31T00:00:00Z")
    assert (row["source"], row["reason"]) == ("goodwill", "outage")
    assert [(move["kind"], move["amount"]) for move in shown["moves"]] == [
        ("granted", 1500),
        ("applied", 999),
    ]
    customer = held.json("customers", "show", "ada")
    assert customer["credit"] == [{"currency": "USD", "left": 501, "usable": 501}]
    assert audited(held, customer["id"])[0][:2] == ("credit.grant", "outage")


def test_a_grant_is_told_by_the_invoice_and_the_timeline(held: World) -> None:
    made = grant(held)
    held.at(START)

    told = held.run("explain", "ada-sub").stdout
    kinds = [line["kind"] for line in held.json("subscriptions", "timeline", "ada-sub")]

    assert "Credit pays 9.99 USD of it; 0.00 USD are due." in told
    assert f"9.99 USD of grant {made['grant_id']} (goodwill)." in told
    assert [kind for kind in kinds if kind.startswith("credit")] == [
        "credit_granted",
        "credit_applied",
    ]


def test_a_repetition_under_an_id_of_ones_own_grants_nothing_more(held: World) -> None:
    first, again = (grant(held, "--id", OWN) for _ in range(2))
    other = held.run(
        "credit", "grant", "ada", "3.00", "--currency", "USD", "--id", OWN, "--yes"
    )  # fmt: skip

    assert first["grant_id"] == again["grant_id"] == OWN
    assert len(held.json("credit", "list")) == 1
    assert other.exit_code != 0
    assert "use another id for another grant" in other.stderr


def test_what_is_left_is_revoked(held: World) -> None:
    given = str(grant(held)["grant_id"])
    held.at(START)

    dry = held.json("credit", "revoke", given, "--dry-run")
    refused = held.run("credit", "revoke", given)
    done = held.json("credit", "revoke", given, "--reason", "by mistake", "--yes")
    again = held.run("credit", "revoke", given, "--yes")

    assert (dry["amount"], dry["dry_run"], done["amount"]) == (501, True, 501)
    assert (refused.exit_code, "this will take 5.01 USD" in refused.stderr) == (2, True)
    assert held.json("credit", "show", given)["left"] == 0
    assert "nothing is left" in again.stderr
    assert audited(held, given)[0][:2] == ("credit.revoke", "by mistake")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("ada", "0", "--currency", "USD"), "above zero"),
        (("ada", "1.001", "--currency", "USD"), "write it like 9.99"),
        (("ada", "1.00", "--currency", "XXX"), "XXX"),
        (("nobody", "1.00", "--currency", "USD"), "no customer"),
        (("ada", "1.00", "--currency", "USD", "--subscription", "none"), "no subscription"),
        (("ada", "1.00", "--currency", "USD", "--expires", "2020-01-01"), "after now"),
        (("ada", "1.00", "--currency", "EUR", "--subscription", "ada-sub"), "another currency"),
    ],
)
def test_what_can_not_be_granted_is_refused(held: World, args: tuple[str, ...], words: str) -> None:
    result = held.run("credit", "grant", *args, "--yes")

    assert result.exit_code != 0
    assert words in result.stderr
    assert held.json("credit", "list") == []


def test_a_grant_that_is_not_there_is_named(held: World) -> None:
    result = held.run("credit", "show", str(uuid.uuid4()))

    assert (result.exit_code, "billing credit list" in result.stderr) == (2, True)
