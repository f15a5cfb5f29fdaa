"""Buying credit from the command line."""

import pytest

from tests.cli.test_money import audited
from tests.cli.world import START, World

OWN = "018f0000-0000-7000-8000-0000000000c1"
ASKED = ("credit", "buy", "ada", "50.00", "--currency", "usd")


@pytest.fixture
def held(world: World) -> World:
    """Return a world in which Ada subscribes and nothing is billed yet."""
    world.subscribed("ada", "video-basic")
    return world


def test_credit_is_shown_before_it_is_bought(held: World) -> None:
    dry = held.json(*ASKED, "--dry-run")
    refused = held.run(*ASKED)

    assert (dry["dry_run"], dry["amount"], dry["number"]) == (True, 5000, None)
    assert refused.exit_code == 2
    assert "this will invoice 50.00 USD of credit" in refused.stderr
    assert held.json("invoices", "list") == []


def test_credit_is_bought_once_and_there_when_it_is_paid(held: World) -> None:
    made, again = (
        held.json(*ASKED, "--id", OWN, "--valid-days", "30", "--reason", "asked", "--yes")
        for _ in range(2)
    )
    assert held.json("credit", "list", "ada") == []
    held.at(START)

    (row,) = held.json("credit", "list", "ada")
    invoice = held.json("invoices", "show", made["number"])

    assert made["invoice_id"] == again["invoice_id"] == OWN
    assert (row["source"], row["amount"], row["left"]) == ("bought", 5000, 5000)
    assert (invoice["kind"], invoice["status"]) == ("top_up", "paid")
    told = held.run("explain", made["number"]).stdout
    assert "Line 1: Credit: 1 x 50.00 USD = 50.00 USD." in told
    assert "credit_bought" in told
    assert "REVENUE" not in told
    customer = held.json("customers", "show", "ada")
    assert audited(held, customer["id"])[0][:2] == ("credit.buy", "asked")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--valid-days", "0"), "--valid-days"),
        (("--priority", "101"), "--priority"),
        (("--currency", "XXX"), "XXX"),
        (("--reason", "4242 4242 4242 4242"), "card number"),
    ],
)
def test_bad_input_gets_one_clear_error(held: World, more: tuple[str, ...], says: str) -> None:
    refused = held.run(*ASKED, *more, "--yes")

    assert refused.exit_code == 2
    assert says.lower() in refused.stderr.lower()
    assert held.json("invoices", "list") == []


@pytest.mark.parametrize("amount", ["0", "0.10", "-5.00", "much", "1.005"])
def test_an_amount_that_cannot_be_charged_is_refused(held: World, amount: str) -> None:
    refused = held.run("credit", "buy", "ada", "--currency", "USD", "--yes", "--", amount)

    assert refused.exit_code == 2
    assert held.json("invoices", "list") == []
