"""Taxes over HTTP: where a customer is, and what an invoice bears."""

from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from billing.api.generated.perennial.v1 import taxes_pb2 as pb
from billing.api.generated.perennial.v1.taxes_pb2_grpc import TaxServiceStub
from billing.sandbox import SandboxServer
from tests.api.caller import Caller, fresh, open_shop
from tests.scenarios.test_taxes import CATALOG
from tests.scenarios.world import World
from tests.waiting import PATIENCE


def _order(customer: str, **given: Any) -> pb.SetTaxFactsRequest:
    return pb.SetTaxFactsRequest(idempotency_key=fresh(), customer=customer, **given)


def refusal(method: Any, caller: Caller, request: Any) -> str:
    """Return our own code of the error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request, metadata=caller.metadata, timeout=PATIENCE)
    trailing = dict(cast(grpc.Call, caught.value).trailing_metadata() or ())
    return str(trailing.get("perennial-code", ""))


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
        stub: Any = TaxServiceStub
        taxes = stub(caller.channel)
        asked = pb.SetTaxFactsRequest(
            idempotency_key=key, customer=ada, country="DE", postal_code="10115"
        )
        same = taxes.SetTaxFacts(asked, metadata=caller.metadata, timeout=PATIENCE)
        by_rpc = taxes.ListTaxFacts(
            pb.ListTaxFactsRequest(customer=ada), metadata=caller.metadata, timeout=PATIENCE
        )
        of_invoice = taxes.GetInvoiceTaxes(
            pb.GetInvoiceTaxesRequest(invoice=shown["number"]),
            metadata=caller.metadata, timeout=PATIENCE,
        )  # fmt: skip
        refused = {
            "country": refusal(taxes.SetTaxFacts, caller, _order(ada, country="XX")),
            "vat_id": refusal(
                taxes.SetTaxFacts, caller, _order(ada, country="DE", vat_id="DE123456780")
            ),
            "invoice": refusal(
                taxes.GetInvoiceTaxes, caller, pb.GetInvoiceTaxesRequest(invoice="X-1")
            ),
        }

    assert same.replayed
    assert same.tax_facts == by_rpc.tax_facts[0]
    assert (same.tax_facts.country, same.tax_facts.postal_code) == ("DE", "10115")
    (tax,) = of_invoice.taxes
    assert (of_invoice.net, of_invoice.tax, of_invoice.total) == (10000, 1900, 11900)
    assert (tax.jurisdiction, tax.name, tax.rate, tax.included) == ("DE", "USt", "19", True)
    assert (tax.base, tax.amount) == (10000, 1900)
    assert refused == {
        "country": "invalid_request", "vat_id": "invalid_request", "invoice": "not_found",
    }  # fmt: skip
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


def test_who_asks_over_http_gets_taxes_that_a_provider_computes(
    db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    world = World(
        db_url,
        sandbox.url,
        tmp_path / "catalog",
        prepared=True,
        BILLING__TAX__PROVIDER="external",
    )
    world.publish(CATALOG)
    ada = str(world.customer()[0])
    lines = {"customer": ada, "currency": "EUR", "lines": [{"text": "Set-up", "amount": 10000}]}
    with open_shop(world) as shop:
        caller, key = shop.caller(), fresh()
        caller.post(f"/v1/customers/{ada}/tax-facts", {"country": "US", "region": "CA"})
        lost = caller.post("/v1/invoices", lines)
        place = {"country": "US", "region": "CA", "postal_code": "91101"}
        caller.post(f"/v1/customers/{ada}/tax-facts", place)
        made, again = (caller.post("/v1/invoices", lines, key) for _ in range(2))
        shown = caller.found(made.headers["location"])

    assert lost.status_code == 409
    assert "/tax-facts" in lost.json()["remedy"]
    assert (made.status_code, made.json()) == (201, again.json())
    assert [(each["name"], each["amount"]) for each in shown["taxes"]] == [
        ("Sales Tax", 600),
        ("Sales Tax, Los Angeles", 25),
        ("Sales Tax, Pasadena", 75),
        ("Sales Tax, Transit District", 225),
    ]
    assert shown["tax"] == 925
    world.settle()
    world.assert_everything_adds_up()
    world.close()
