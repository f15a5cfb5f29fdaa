"""`billing customers`: who pays, and with what."""

from typing import Any
from uuid import UUID

import click

from billing.cli.options import paged, provider_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import CUSTOMERS, PAYMENT_METHODS, SUBSCRIPTIONS, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session


@click.group()
def customers() -> None:
    """Who pays, and with what."""


@customers.command("create")
@click.option("--name", required=True, help="What they are called.")
@click.option("--email", help="Where the provider writes to.")
@click.option("--external-id", metavar="ID", help="Your own id of them; a repeat is refused.")
@click.option("--payment-method", metavar="TOKEN", help="The provider's token, like pm_...")
@provider_option("The account that collects; else the default.")
@output_option
@click.pass_obj
def create(
    session: Session,
    name: str,
    email: str | None,
    external_id: str | None,
    payment_method: str | None,
    provider: str | None,
    output: Output,
) -> None:
    """Create a customer here and at the provider."""
    from billing.flows.customers import customers as flow

    customer_id = flow.create(
        session.context,
        name=name,
        email=email,
        external_id=external_id,
        payment_method=payment_method,
        provider=provider,
    )
    _show(session, customer_id, output)


@customers.command("list")
@paged
@output_option
@click.pass_obj
def list_(session: Session, limit: int, after: UUID | None, output: Output) -> None:
    """List customers in order of creation."""
    from billing.queries import customers as queries

    with session.connect() as conn:
        rows = queries.customers(conn, limit=limit + 1, after=after)
    write_page(output, rows, CUSTOMERS, limit)


@customers.command("show")
@click.argument("customer")
@output_option
@click.pass_obj
def show(session: Session, customer: str, output: Output) -> None:
    """Show a customer with payment methods and subscriptions."""
    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
    _show(session, customer_id, output)


@customers.command("set-payment-method")
@click.argument("customer")
@click.argument("token")
@output_option
@click.pass_obj
def set_payment_method(session: Session, customer: str, token: str, output: Output) -> None:
    """Attach a payment method and make it the default.

    TOKEN is the provider's, like pm_...: never a card number. Payments that waited for another
    payment method are tried again at once.
    """
    from billing.flows.customers import customers as flow

    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
    _, tried_again = flow.set_payment_method(session.context, str(customer_id), token)
    if tried_again:
        talk(f"{tried_again} waiting payment(s) are tried again at once")
    _show(session, customer_id, output)


def _show(session: Session, customer_id: UUID, output: Output) -> None:
    from billing.queries import customers as queries
    from billing.queries.subscriptions import subscriptions

    with session.connect() as conn:
        row = queries.customers(conn, id=customer_id)[0]
        methods = queries.payment_methods_of(conn, customer_id)
        held = subscriptions(conn, customer_id=customer_id, limit=1000)
    record: dict[str, Any] = {
        **plain(row),
        "payment_methods": [plain(method) for method in methods],
        "subscriptions": [plain(subscription) for subscription in held],
    }
    output.record(record, {"payment_methods": PAYMENT_METHODS, "subscriptions": SUBSCRIPTIONS})
