"""Taxes over HTTP: where a customer is, and what an invoice bears."""

from pathlib import Path

from billing.sandbox import SandboxServer
from tests.api.caller import fresh, open_shop
from tests.scenarios.test_taxes import CATALOG
from tests.scenarios.world import World


def test_a_customer_is_taxed_where_they_are(
    db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    world = World(
        db_url,
        sandbox.url,
        tmp_path / "catalog",
        prepared=True,
        BILLING__TAX__PROVIDER="table",
        BILLING__TAX__COUNTRY="DE",
    )
    world.publish(CATALOG)
    ada = str(world.customer()[0])
    lines = {"customer": ada, "currency": "EUR", "lines": [{"text": "Set-up", "amount": 11900}]}
    with open_shop(world) as shop:
        caller, key = shop.caller(), fresh()
        early = caller.post("/v1/invoices", lines)
        body = {"country": "DE", "postal_code": "10115"}
        known, again = (caller.post(f"/v1/customers/{ada}/tax-facts", body, key) for _ in range(2))
        bad = caller.post(f"/v1/customers/{ada}/tax-facts", {"country": "DE", "vat_id": "DE123"})
        made = caller.post("/v1/invoices", lines | {"tax_included": True})
        shown = caller.found(made.headers["location"])
        listed = caller.found(f"/v1/customers/{ada}/tax-facts")

    assert early.status_code == 409
    assert "/tax-facts" in early.json()["remedy"]
    assert (known.status_code, known.json()) == (201, again.json())
    assert known.json()["country"] == "DE"
    assert bad.status_code == 422
    assert [row["postal_code"] for row in listed["data"]] == ["10115"]
    assert (shown["net"], shown["tax"], shown["total"]) == (10000, 1900, 11900)
    assert shown["taxes"] == [
        {
            "jurisdiction": "DE",
            "name": "USt",
            "treatment": "standard",
            "rate": "19",
            "included": True,
            "reason": "",
            "base": 10000,
            "amount": 1900,
        }
    ]
    world.settle()
    world.assert_everything_adds_up()
    world.close()
