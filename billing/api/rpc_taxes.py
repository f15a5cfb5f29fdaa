"""The gRPC service of taxes, by the rules of HTTP's bodies."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Engine

from billing.api import request_schemas
from billing.api.generated.perennial.v1 import taxes_pb2 as pb
from billing.api.generated.perennial.v1.taxes_pb2_grpc import TaxServiceServicer
from billing.api.metrics import ApiMetrics
from billing.api.problems import Refused
from billing.api.rpc_calls import visitor
from billing.api.rpc_values import (
    body_of,
    instant,
    key_of,
    moment,
    reference_of,
    was_replayed,
)
from billing.flows.customers.customers import existing_customer
from billing.flows.service import views
from billing.flows.service.api_keys import Scope
from billing.flows.service.customers import CustomerApi
from billing.queries.customers import tax_facts_of
from billing.queries.invoices import invoice as find_invoice
from billing.queries.taxes import of_invoice

TAX_SCOPES: Final[Mapping[str, Scope]] = {
    "SetTaxFacts": Scope.CHARGE,
    "ListTaxFacts": Scope.READ,
    "GetInvoiceTaxes": Scope.READ,
}


class CustomerTaxService(TaxServiceServicer):
    """Says where customers are taxed, and shows the taxes of invoices."""

    def __init__(self, engine: Engine, customers: CustomerApi, metrics: ApiMetrics) -> None:
        self._engine = engine
        self._customers = customers
        self._metrics = metrics

    def SetTaxFacts(  # noqa: N802  gRPC's name
        self, request: pb.SetTaxFactsRequest, _: object
    ) -> pb.SetTaxFactsResponse:
        """Say where a customer is taxed, once a key."""
        from_then = moment(request.holds_from) if request.HasField("holds_from") else None
        body = body_of(
            request_schemas.TaxFactsOrderBody,
            {
                "country": request.country,
                "region": request.region,
                "postal_code": request.postal_code,
                "vat_id": request.vat_id,
                "exempt": request.exempt,
                "holds_from": from_then,
            },
        )
        answer = self._customers.set_tax_facts(
            visitor.get().caller,
            key_of(request.idempotency_key),
            reference_of(request.customer, "customer"),
            body.model_dump(),
        )
        return pb.SetTaxFactsResponse(
            tax_facts=_facts(answer.body), replayed=was_replayed(answer, self._metrics)
        )

    def ListTaxFacts(  # noqa: N802
        self, request: pb.ListTaxFactsRequest, _: object
    ) -> pb.ListTaxFactsResponse:
        """List what is known of a customer for taxes."""
        with self._engine.connect() as conn:
            customer = existing_customer(conn, reference_of(request.customer, "customer"))
            rows = tax_facts_of(conn, customer.id)
        return pb.ListTaxFactsResponse(tax_facts=[_facts(views.tax_facts(row)) for row in rows])

    def GetInvoiceTaxes(  # noqa: N802
        self, request: pb.GetInvoiceTaxesRequest, _: object
    ) -> pb.GetInvoiceTaxesResponse:
        """Show the taxes of an invoice."""
        reference = reference_of(request.invoice, "invoice")
        with self._engine.connect() as conn:
            found = find_invoice(conn, reference)
            if found is None:
                raise Refused("not_found", f"there is no invoice {reference}", where="invoice")
            taxes = of_invoice(conn, found.id)
        return pb.GetInvoiceTaxesResponse(
            invoice_id=str(found.id),
            number=found.number,
            currency=found.currency,
            net=found.net,
            tax=found.tax,
            total=found.total,
            taxes=[pb.InvoiceTax(**views.invoice_tax(each)) for each in taxes],
        )


def _facts(view: Mapping[str, Any]) -> pb.TaxFacts:
    return pb.TaxFacts(
        customer_id=view["customer_id"],
        holds_from=instant(view["holds_from"]),
        country=view["country"] or "",
        region=view["region"] or "",
        postal_code=view["postal_code"] or "",
        vat_id=view["vat_id"] or "",
        exempt=view["exempt"] or "",
    )
