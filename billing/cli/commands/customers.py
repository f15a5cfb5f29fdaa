"""`billing customers`: who pays, and with what."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, paged, provider_option, reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import (
    ACCOUNTS,
    CREDIT,
    CUSTOMERS,
    MOVED_PAYMENTS,
    MOVED_SUBSCRIPTIONS,
    PAYMENT_METHODS,
    SUBSCRIPTIONS,
    TAX_FACTS,
    plain,
    write_page,
)
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput


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
@provider_option("The account that has the token; else the one that collects from them.")
@click.option(
    "--keep-default", is_flag=True,
    help="With --provider: it is charged where a subscription names the account, and there alone.",
)  # fmt: skip
@output_option
@click.pass_obj
def set_payment_method(
    session: Session,
    customer: str,
    token: str,
    provider: str | None,
    keep_default: bool,
    output: Output,
) -> None:
    """Attach a payment method and make it the default.

    TOKEN is the provider's, like pm_...: never a card number. Payments that waited for another
    payment method are tried again at once. With --provider that account collects from now on.
    """
    from billing.flows.customers import customers as flow

    if keep_default and provider is None:
        raise BadInput("which account?", remedy="--keep-default goes with --provider NAME")
    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
    _, tried_again = flow.set_payment_method(
        session.context,
        str(customer_id),
        token,
        provider=provider,
        make_default=not keep_default,
    )
    if tried_again:
        talk(f"{tried_again} waiting payment(s) are tried again at once")
    _show(session, customer_id, output)


@customers.command("set-tax")
@click.argument("customer")
@click.option("--country", metavar="CODE", help="Where they are (ISO 3166), like DE.")
@click.option("--region", metavar="CODE", help="The region there, like NY of US-NY.")
@click.option("--postal-code", metavar="TEXT", help="The postal code there.")
@click.option("--vat-id", metavar="ID", help="Their VAT id, like DE136695976.")
@click.option("--exempt", metavar="REASON", help="Why they pay no tax.")
@click.option(
    "--from", "holds_from", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="INSTANT", help="The instant (UTC) from which it holds; else from now on.",
)  # fmt: skip
@output_option
@click.pass_obj
def set_tax(
    session: Session,
    customer: str,
    country: str | None,
    region: str | None,
    postal_code: str | None,
    vat_id: str | None,
    exempt: str | None,
    holds_from: datetime | None,
    output: Output,
) -> None:
    """Say where a customer is taxed, in place of what was known before.

    The form of a VAT id is checked. What was invoiced stays as it is; what waited for this is
    invoiced at once.
    """
    from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts

    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
    since = None if holds_from is None else holds_from.replace(tzinfo=UTC)
    order = TaxFactsOrder(str(customer_id), country, region, postal_code, vat_id, exempt, since)
    with session.audited("customer.tax_facts", customer_id) as conn:
        set_facts(conn, order, now=session.now(), actor=person())
    _show(session, customer_id, output)


@customers.command("move-payments")
@click.argument("customer")
@click.option("--to", required=True, metavar="NAME", help="The account that collects from now on.")
@click.option(
    "--payment-method", metavar="TOKEN",
    help="The token there to charge; else what they are charged with over that account.",
)  # fmt: skip
@reason_option
@lasting
@output_option
@click.pass_obj
def move_payments(
    session: Session,
    customer: str,
    to: str,
    payment_method: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Collect from a customer over another account, what waits included.

    Nothing is tried there while the outcome of a call elsewhere is unknown. Captured payments stay
    where they are, and so do their refunds and disputes. It may be repeated.
    """
    from billing.flows.customers import moving

    with session.connect() as conn:
        customer_id = str(find(conn, "customer", customer))
    planned = moving.plan(session.context, customer_id, to, token=payment_method)
    words = f"collect from customer {customer_id} over {to} (now over {planned.before})"
    record: dict[str, Any] = {
        "action": "move-payments",
        "dry_run": dry_run,
        "customer_id": planned.customer_id,
        "from": planned.before,
        "to": to,
        "subscriptions": [plain(each) for each in planned.subscriptions],
        "payments": [
            {**plain(each), "amount": each.amount.amount, "currency": each.amount.currency}
            for each in planned.payments
        ],
    }
    if not dry_run:
        talk(f"this will {words}")
        confirm("Move them?", yes=yes)
        record["tried_at_once"] = moving.move(
            session.context, customer_id, to, token=payment_method, actor=person(), why=reason
        )
    record["words"] = f"would {words}" if dry_run else f"done: {words}"
    output.record(record, {"subscriptions": MOVED_SUBSCRIPTIONS, "payments": MOVED_PAYMENTS})


def _show(session: Session, customer_id: UUID, output: Output) -> None:
    from billing.queries import credit
    from billing.queries import customers as queries
    from billing.queries.subscriptions import subscriptions

    now = session.now()
    with session.connect() as conn:
        row = queries.customers(conn, id=customer_id)[0]
        methods = queries.payment_methods_of(conn, customer_id)
        accounts = queries.accounts_of(conn, customer_id)
        held = subscriptions(conn, customer_id=customer_id, limit=1000)
        balances = credit.balances(conn, customer_id, now)
        taxes = queries.tax_facts_of(conn, customer_id)
    record: dict[str, Any] = {
        **plain(row),
        "accounts": [plain(account) for account in accounts],
        "payment_methods": [plain(method) for method in methods],
        "subscriptions": [plain(subscription) for subscription in held],
        "credit": [plain(balance) for balance in balances],
        "tax": [plain(facts) for facts in taxes],
    }
    tables = {
        "accounts": ACCOUNTS,
        "payment_methods": PAYMENT_METHODS,
        "subscriptions": SUBSCRIPTIONS,
        "credit": CREDIT,
        "tax": TAX_FACTS,
    }
    output.record(record, tables)
