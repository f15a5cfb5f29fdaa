"""Taxes on the command line: where customers are, rates, reports, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.world import START, World

RATES = """
[[tax_rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "19"
from = 2021-01-01

[[tax_rate]]
country = "IT"
class = "standard"
name = "IVA"
rate = "22"
from = 2013-10-01
"""
TAX = {"BILLING__TAX__PROVIDER": "table", "BILLING__TAX__COUNTRY": "DE"}


def rates_of(world: World) -> Path:
    catalog = world.runtime().settings.plans.catalog
    return (world.folder / catalog) / "taxes.toml"


@pytest.fixture
def taxing(world: World) -> World:
    """Return a world that publishes rates, sells from DE, and in which Ada subscribes."""
    rates_of(world).write_text(RATES)
    world.env |= TAX
    world.json("plans", "apply", "--yes")
    world.subscribed("ada", "video-basic")
    return world


def test_a_customer_is_taxed_where_they_are_and_the_taxes_are_reported(taxing: World) -> None:
    shown = taxing.json("customers", "set-tax", "ada", "--country", "IT", "--postal-code", "00144")
    taxing.at(START)

    (known,) = shown["tax"]
    assert (known["country"], known["postal_code"], known["vat_id"]) == ("IT", "00144", None)
    (row,) = taxing.json("invoices", "list")
    invoice = taxing.json("invoices", "show", row["number"])
    assert (invoice["net"], invoice["tax"], invoice["total"]) == (999, 220, 1219)
    (tax,) = invoice["taxes"]
    assert (tax["jurisdiction"], tax["rate"], tax["amount"]) == ("IT", "22", 220)
    assert "IVA in IT, standard, 22 % of 9.99 USD, on top: 2.20 USD." in (
        taxing.run("explain", row["number"]).stdout
    )
    report = taxing.json("taxes", "report", "--from", "2026-01-01", "--to", "2026-02-01")
    (total,) = report["taxes"]
    assert (total["jurisdiction"], total["base"], total["owed"]) == ("IT", 999, 220)
    assert report["payable"] == [{"currency": "USD", "otherwise": 0, "owed": 220}]
    assert taxing.json("taxes", "report", "--to", "2026-01-01")["taxes"] == []
    closing = taxing.json("close", "show", "--offline")
    assert closing["taxes"] == report["taxes"]
    assert [rate["country"] for rate in taxing.json("taxes", "rates")] == ["DE", "IT"]


def test_who_is_nowhere_waits_and_is_shown(taxing: World) -> None:
    taxing.at(START)

    assert taxing.json("invoices", "list") == []
    (parked,) = taxing.json("parked", "list")
    assert parked["reason"] == "tax_undecided"
    assert (
        "it isn't known in which country the customer is"
        in (taxing.run("parked", "list").stdout.replace("\n", " "))
        or "country" in parked["error"]
    )

    taxing.json("customers", "set-tax", "ada", "--country", "DE")
    taxing.at(START + timedelta(hours=1))

    assert [row["tax"] for row in taxing.json("invoices", "list")] == [190]
    assert taxing.json("parked", "list") == []


def test_a_one_off_invoice_may_be_of_another_class_and_contain_its_tax(taxing: World) -> None:
    taxing.json("customers", "set-tax", "ada", "--country", "DE")
    asked = ("invoices", "create", "ada", "--line", "Set-up=119.00", "--currency", "usd", "--yes")

    made = taxing.json(*asked, "--tax-included")
    refused = taxing.run(*asked, "--tax-class", "books")

    assert made["total"] == 11900
    assert taxing.json("invoices", "show", made["number"])["tax"] == 1900
    assert refused.exit_code == 2
    assert "rate_missing" in refused.stderr
    assert "customers set-tax" in refused.stderr


def test_a_country_that_is_sold_to_needs_a_rate(world: World) -> None:
    rates_of(world).write_text(RATES)
    world.env |= TAX | {"BILLING__TAX__REGISTRATIONS": "GB"}

    checked = world.run("plans", "check")
    applied = world.run("plans", "apply", "--yes")

    assert (checked.exit_code, applied.exit_code) == (2, 2)
    for each in (checked, applied):
        assert "the class 'standard' has no rate for GB, which is sold to" in each.stderr
    assert world.json("taxes", "rates") == []


@pytest.fixture
def asking(world: World) -> World:
    """Return a world whose provider computes taxes, and in which Ada, who is in DE, subscribes."""
    world.env |= {"BILLING__TAX__PROVIDER": "external"}
    world.json("plans", "apply", "--yes")
    world.subscribed("ada", "video-basic")
    world.json("customers", "set-tax", "ada", "--country", "DE")
    return world


def test_what_a_provider_is_asked_is_listed_told_and_counted_until_it_answers(
    asking: World,
) -> None:
    asking.at(START)
    (call,) = asking.json("taxes", "waiting")
    told = asking.run("explain", "ada-sub").stdout.replace("\n", " ")
    figures = asking.json("status")["taxes"]

    assert (call["kind"], call["state"], call["number"]) == ("calculation", "open", None)
    assert "its invoice waits for its taxes" in told
    assert figures == {"unanswered": 0, "refused": 0}
    refused = asking.run("taxes", "retry", call["id"])
    assert refused.exit_code == 2
    assert "calculation that is open" in refused.stderr


def test_who_is_invoiced_by_hand_gets_the_taxes_at_once_and_may_have_them_recorded(
    asking: World,
) -> None:
    asked = ("invoices", "create", "ada", "--line", "Set-up=100.00", "--currency", "usd", "--yes")

    made = asking.json(*asked)

    assert made["total"] == 11900
    told = asking.run("explain", made["number"]).stdout.replace("\n", " ")
    assert "The taxes are computed at stripe as taxcalc_" in told
    assert "The invoice is recorded for taxes at stripe: not answered yet." in told
    (call,) = asking.json("taxes", "waiting")
    assert (call["kind"], call["number"]) == ("record", made["number"])


BAD = {
    "no country": (("--country", "ZZ"), "'ZZ' is no country"),
    "no region": (("--country", "ES", "--region", "ZZ"), "'ZZ' is no region of ES"),
    "Northern Ireland": (("--country", "XI"), "is a part of GB for services"),
    "no VAT id": (("--country", "DE", "--vat-id", "DE1"), "is no VAT id of DE"),
    "an id of nowhere": (("--vat-id", "DE136695976"), "are those of a country"),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD)
def test_what_can_not_be_is_refused(taxing: World, given: tuple[str, ...], words: str) -> None:
    refused = taxing.run("customers", "set-tax", "ada", *given)

    assert refused.exit_code == 2
    assert words in refused.stderr
