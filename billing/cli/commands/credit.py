"""`billing credit`: credit of customers, which pays their invoices before their cards do."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from billing.cli.options import confirm, currency_option, lasting, paged, reason_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import CREDIT_MOVES, GRANTS, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.rules.credit import PRIORITIES, PRIORITY

_priority_option = click.option(
    "--priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]), default=PRIORITY,
    show_default=True, help="The lowest is used first.",
)  # fmt: skip


@click.group()
def credit() -> None:
    """Credit of customers, which pays their invoices first."""


@credit.command("grant")
@click.argument("customer")
@click.argument("amount")
@currency_option
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), metavar="INSTANT",
    help="The instant (UTC) from which it pays nothing; without it, it stays.",
)  # fmt: skip
@_priority_option
@click.option("--subscription", metavar="ID", help="It pays this one's invoices only.")
@click.option(
    "--id", "grant_id", type=click.UUID, metavar="UUID",
    help="Your id of it; a repetition grants nothing more.",
)  # fmt: skip
@reason_option
@lasting
@output_option
@click.pass_obj
def grant(
    session: Session,
    customer: str,
    amount: str,
    currency: str,
    expires: datetime | None,
    priority: int,
    subscription: str | None,
    grant_id: UUID | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Give credit to a customer, which pays the next invoices.

    Where several grants would pay, the lowest priority is used first, then what expires first.
    """
    from billing.cli.amounts import read_amount
    from billing.flows.context import Joined
    from billing.flows.credit import granting

    money = read_amount(amount, currency.upper(), "amount")
    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
        scope = None if subscription is None else str(find(conn, "subscription", subscription))
    order = granting.GrantOrder(
        customer=str(customer_id),
        amount=money.amount,
        currency=money.currency,
        reason=reason,
        priority=priority,
        expires=None if expires is None else expires.replace(tzinfo=UTC),
        subscription=scope,
        id=grant_id,
    )
    with session.engine.connect() as conn:  # tried, and rolled back
        granting.grant(Joined(conn), order, now=session.now(), actor=person())
    words = f"grant {money} of credit to customer {customer_id}"
    record: dict[str, Any] = {
        "action": "grant",
        "dry_run": dry_run,
        "grant_id": None,
        "customer_id": customer_id,
        "amount": money.amount,
        "currency": money.currency,
        "expires_at": order.expires,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Grant it?", yes=yes)
    now, detail = session.now(), {"amount": money.amount, "currency": money.currency}
    with session.audited("credit.grant", customer_id, reason, detail) as conn:
        grant_id = granting.grant(Joined(conn), order, now=now, actor=person())
        detail["grant"] = str(grant_id)
    output.message(
        {**record, "grant_id": grant_id},
        f"grant {grant_id}: {money} of credit for customer {customer_id}",
    )


@credit.command("buy")
@click.argument("customer")
@click.argument("amount")
@currency_option
@click.option(
    "--valid-days", type=click.IntRange(1, 36_500), metavar="DAYS",
    help="For how long it pays once it is paid for; without it, it stays.",
)  # fmt: skip
@_priority_option
@click.option(
    "--id", "invoice_id", type=click.UUID, metavar="UUID",
    help="Your id of its invoice; a repetition issues nothing more.",
)  # fmt: skip
@reason_option
@lasting
@output_option
@click.pass_obj
def buy(
    session: Session,
    customer: str,
    amount: str,
    currency: str,
    valid_days: int | None,
    priority: int,
    invoice_id: UUID | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Invoice a customer for credit, which they hold once the invoice is paid."""
    from billing.cli.amounts import read_amount
    from billing.flows.invoices import buying
    from billing.ids import new_id

    money = read_amount(amount, currency.upper(), "amount")
    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
        order = buying.TopUpOrder(
            customer=str(customer_id),
            amount=money.amount,
            currency=money.currency,
            priority=priority,
            valid_days=valid_days,
            reason=reason,
        )
        buying.check(conn, order, session.runtime.policy)
    words = f"invoice {money} of credit to customer {customer_id}"
    record: dict[str, Any] = {
        "action": "buy",
        "dry_run": dry_run,
        "invoice_id": None,
        "number": None,
        "customer_id": customer_id,
        "amount": money.amount,
        "currency": money.currency,
        "valid_days": valid_days,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Issue the invoice?", yes=yes)
    now, policy, own = session.now(), session.runtime.policy, invoice_id or new_id()
    detail: dict[str, Any] = {"amount": money.amount, "currency": money.currency}
    with session.audited("credit.buy", customer_id, reason, detail) as conn:
        made = buying.buy(conn, order, own, now=now, actor=person(), policy=policy)
        detail["invoice"] = str(made.id)
    output.message(
        {**record, "invoice_id": made.id, "number": made.number},
        f"invoice {made.number}: {money} of credit for customer {customer_id}, once it is paid",
    )


@credit.command("list")
@click.argument("customer", required=False)
@paged
@output_option
@click.pass_obj
def list_(
    session: Session, customer: str | None, limit: int, after: UUID | None, output: Output
) -> None:
    """List grants of credit with what is left of each, of one customer or of all."""
    from billing.queries import credit as queries

    with session.connect() as conn:
        customer_id = None if customer is None else find(conn, "customer", customer)
        rows = queries.grants(conn, customer_id=customer_id, limit=limit + 1, after=after)
    write_page(output, rows, GRANTS, limit)


@credit.command("show")
@click.argument("grant")
@output_option
@click.pass_obj
def show(session: Session, grant: str, output: Output) -> None:
    """Show a grant of credit, and what became of it."""
    from billing.queries import credit as queries

    with session.connect() as conn:
        grant_id = find(conn, "grant", grant)
        row = queries.grant(conn, grant_id)
        assert row is not None, "it was found a moment ago"
        moves = [plain(move) for move in queries.moves_of(conn, grant_id)]
    output.record({**plain(row), "moves": moves}, {"moves": CREDIT_MOVES})


@credit.command("revoke")
@click.argument("grant")
@reason_option
@lasting
@output_option
@click.pass_obj
def revoke(
    session: Session, grant: str, reason: str, dry_run: bool, yes: bool, output: Output
) -> None:
    """Let what is left of a grant expire now.

    What it paid stays paid. Credit that a customer paid for isn't revoked.
    """
    from billing.flows.context import Joined
    from billing.flows.credit import revoking

    with session.connect() as conn:
        grant_id = find(conn, "grant", grant)
        left = revoking.revocable(conn, grant_id)
    words = f"take {left} of credit back, which is left of grant {grant_id}"
    record: dict[str, Any] = {
        "action": "revoke",
        "dry_run": dry_run,
        "grant_id": grant_id,
        "amount": left.amount,
        "currency": left.currency,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Take it back?", yes=yes)
    now, detail = session.now(), {"amount": left.amount, "currency": left.currency}
    with session.audited("credit.revoke", grant_id, reason, detail) as conn:
        taken = revoking.revoke(Joined(conn), grant_id, now=now, actor=person())
        detail["amount"] = taken.amount
    output.message(
        {**record, "amount": taken.amount}, f"{taken} of credit is taken back from grant {grant_id}"
    )
