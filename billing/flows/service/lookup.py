"""Finding what a request names: payment, invoice, payer; `NotFound` where there is none."""

from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.customers.customers import existing_customer
from billing.store.payments import invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from billing.store.subscriptions import customers


def existing_payment(conn: Connection, payment_id: UUID) -> Payment:
    """Return a payment. Raises `NotFound`."""
    row = payments.get(conn, payment_id)
    if row is None:
        raise NotFound(
            f"no payment {payment_id}",
            where="payment",
            code=ErrorCode.PAYMENT_NOT_FOUND,
            payment_id=payment_id,
        )
    return row


def existing_invoice(conn: Connection, reference: str) -> Invoice:
    """Return an invoice by its id or number. Raises `NotFound`."""
    row = invoices.find(conn, reference)
    if row is None:
        raise NotFound(f"no invoice {reference}", where="invoice")
    return row


def payer(conn: Connection, customer: str | None, source: str | None) -> tuple[UUID, UUID, str]:
    """Return who pays, with which payment method, and over which account.

    Raises `NotFound`, `BadInput`, `Conflict`.
    """
    if customer is None and source is None:
        raise BadInput(
            "nobody is named to pay",
            where="customer",
            code=ErrorCode.PAYER_MISSING,
        )
    if source is None:
        assert customer is not None
        row = existing_customer(conn, customer)
        if row.default_payment_method_id is None:
            raise Conflict(
                f"customer {customer!r} has no payment method",
                where="customer",
                code=ErrorCode.PAYMENT_METHOD_MISSING,
                customer=customer,
            )
        return row.id, row.default_payment_method_id, row.provider
    methods = customers.find_payment_methods(conn, source)
    if not methods:
        raise NotFound(
            "no customer has this payment method",
            where="payment_source",
            code=ErrorCode.PAYMENT_METHOD_NOT_FOUND,
        )
    if customer is not None:
        owner = existing_customer(conn, customer).id
        methods = [method for method in methods if method.customer_id == owner]
    if not methods:
        raise BadInput(
            "the payment method is another customer's",
            where="payment_source",
            code=ErrorCode.PAYMENT_METHOD_OF_ANOTHER,
        )
    if len(methods) > 1:
        raise BadInput(
            "several provider accounts have a payment method with this token: give its id",
            where="payment_source",
        )
    (method,) = methods
    return method.customer_id, method.id, method.provider
