"""One-off invoices from the command line: tried, issued, explained, voided."""

import pytest

from tests.cli.test_money import audited
from tests.cli.world import START, World

OWN = "018f0000-0000-7000-8000-0000000000b1"
ASKED = ("invoices", "create", "ada", "--line", "Set-up = 199.00", "--line", "a=b=0.50",
         "--currency", "usd")  # fmt: skip


@pytest.fixture
def held(world: World) -> World:
    """Return a world in which Ada subscribes and nothing is billed yet."""
    world.subscribed("ada", "video-basic")
    return world


def test_an_invoice_is_shown_before_it_is_issued(held: World) -> None:
    dry = held.json(*ASKED, "--dry-run")
    refused = held.run(*ASKED)

    assert (dry["dry_run"], dry["total"], dry["due"], dry["number"]) == (True, 19950, 19950, None)
    assert [(line["description"], line["amount"]) for line in dry["lines"]] == [
        ("Set-up", 19900),
        ("a=b", 50),
    ]
    assert refused.exit_code == 2
    assert "this will invoice 199.50 USD" in refused.stderr
    assert "add --yes to go ahead" in refused.stderr
    assert held.json("invoices", "list") == []


def test_an_invoice_is_issued_once_and_collected(held: World) -> None:
    made, again = (held.json(*ASKED, "--id", OWN, "--yes") for _ in range(2))
    held.at(START)

    rows = {row["number"]: row for row in held.json("invoices", "list", "--customer", "ada")}
    told = held.run("explain", "INV-0001").stdout

    assert made["invoice_id"] == again["invoice_id"] == OWN
    row = rows["INV-0001"]
    assert (row["kind"], row["status"], row["subscription_id"]) == ("one_off", "paid", None)
    assert "it belongs to no subscription" in told
    assert "Line 1: Set-up: 1 x 199.00 USD = 199.00 USD." in told
    customer = held.json("customers", "show", "ada")
    assert audited(held, customer["id"])[0][:2] == ("invoice.create", "no reason given")


def test_an_open_invoice_is_voided(held: World) -> None:
    made = held.json(*ASKED, "--from", "2026-01-01", "--to", "2026-01-31", "--yes")

    dry = held.json("invoices", "void", made["number"], "--dry-run")
    done = held.json("invoices", "void", made["number"], "--reason", "a mistake", "--yes")
    again = held.run("invoices", "void", made["number"], "--yes")

    assert (dry["dry_run"], done["dry_run"], done["due"]) == (True, False, 19950)
    assert held.json("invoices", "show", made["number"])["status"] == "void"
    assert again.exit_code == 2
    assert "is void: only an open one is voided" in again.stderr
    assert audited(held, made["invoice_id"])[0][:2] == ("invoice.void", "a mistake")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--line", "Set-up"), "is no line"),
        (("--line", "Set-up=many"), "--line"),
        (("--line", "=5.00"), "what it is for"),
        (("--line", "Less=-5.00"), "above zero"),
        (("--line", "Less=5.001"), "decimals"),
        (("--from", "2026-01-01"), "both --from and --to"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "a service ends"),
        (("--from", "2026-01-02", "--to", "2026-01-03", "--zone", "Mars"), "no time zone"),
        (("--currency", "usdollar"), "usdollar"),
        (("--line", "4242 4242 4242 4242=5.00"), "card number"),
    ],
)
def test_bad_input_gets_one_clear_error(held: World, more: tuple[str, ...], says: str) -> None:
    refused = held.run(*ASKED, *more, "--yes")

    assert refused.exit_code == 2
    assert says.lower() in refused.stderr.lower()
    assert refused.stderr.count("error:") == 1
    assert held.json("invoices", "list") == []
