"""One-off invoices for callers of the API: issued and voided once a key, audited."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.invoices import buying, ordering, voiding
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.invoices.ordering import InvoiceOrder
from billing.flows.service import views
from billing.flows.service.callers import Audited, Caller
from billing.flows.service.idempotency import DONE, MADE, KeyedAnswer
from billing.flows.service.lookup import existing_invoice
from billing.flows.taxes.asking import with_taxes
from billing.plans.taxes import USUAL_TAX


class InvoiceApi(Audited):
    """The service of invoices that HTTP calls, as `PaymentApi` is the one for payments."""

    def create(self, caller: Caller, key: str, order: InvoiceOrder, reason: str) -> KeyedAnswer:
        """Issue an invoice of lines, which a worker collects. 201.

        Raises `KeyReused`, `RequestInFlight`, `NotFound`, `BadInput`, `Conflict`, `Unavailable`.
        """
        refuse_anything_like_a_card(customer=order.customer, reason=reason)
        service = order.service
        given: dict[str, Any] = {
            "customer": order.customer,
            "currency": order.currency,
            "lines": [[line.text, line.amount] for line in order.lines],
            "service": None
            if service is None
            else [str(service.first), str(service.last), service.zone],
            "reason": reason,
        }
        if order.tax != USUAL_TAX:  # left out otherwise, as in keys from before there was one
            given["tax"] = order.tax.to_terms()
        now, policy = self.context.clock.now(), self.context.policy

        def work(conn: Connection, invoice_id: UUID) -> KeyedAnswer:
            made = ordering.create(conn, order, invoice_id, now=now, policy=policy)
            subject = existing_customer(conn, order.customer).id
            told = {"invoice": str(made.id), "amount": made.total, "currency": made.currency}
            self._audit(conn, caller, "invoice.create", subject, reason, told)
            return KeyedAnswer(MADE, views.invoice(made))

        return with_taxes(
            self.context, lambda: self._making(caller, key, "invoices.create", given, work)
        )

    def buy(self, caller: Caller, key: str, order: TopUpOrder) -> KeyedAnswer:
        """Issue the invoice of credit that a customer buys, which a worker collects. 201.

        Raises as `create`.
        """
        refuse_anything_like_a_card(customer=order.customer, reason=order.reason)
        given = {
            "customer": order.customer,
            "amount": order.amount,
            "currency": order.currency,
            "priority": order.priority,
            "valid_days": order.valid_days,
            "reason": order.reason,
        }
        now, policy = self.context.clock.now(), self.context.policy

        def work(conn: Connection, invoice_id: UUID) -> KeyedAnswer:
            made = buying.buy(conn, order, invoice_id, now=now, actor=caller.actor, policy=policy)
            subject = existing_customer(conn, order.customer).id
            told = {"invoice": str(made.id), "amount": made.total, "currency": made.currency}
            self._audit(conn, caller, "credit.buy", subject, order.reason, told)
            return KeyedAnswer(MADE, views.invoice(made))

        return self._making(caller, key, "credit.buy", given, work)

    def void(self, caller: Caller, key: str, invoice: str, why: str) -> KeyedAnswer:
        """Void an open invoice of no subscription, by id or number. 200. Raises as `create`."""
        refuse_anything_like_a_card(reason=why)
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            found = existing_invoice(conn, invoice)
            voiding.void(conn, found.id, now=now, actor=caller.actor, why=why or "no reason given")
            told = {"amount": found.total, "currency": found.currency}
            self._audit(conn, caller, "invoice.void", found.id, why, told)
            return KeyedAnswer(DONE, views.invoice(existing_invoice(conn, str(found.id))))

        given = {"invoice": invoice, "reason": why}
        return self._once(caller, key, "invoices.void", given, work)
