"""`billing charges`: payments and their attempts; trying again, capturing and voiding."""

from uuid import UUID

import click

from billing.cli.options import confirm, lasting, paged, reason_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import ATTEMPTS, PAYMENTS, TRANSITIONS, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.rules.payments import State


@click.group()
def charges() -> None:
    """Payments and their attempts."""


@charges.command("list")
@word_option("--state", State, "Only those that are")
@click.option("--subscription", metavar="ID", help="Only those of a subscription.")
@click.option("--customer", metavar="ID", help="Only those of a customer.")
@click.option("--parked/--not-parked", default=None, help="Only those that are, or aren't, parked.")
@click.option("--unknown", is_flag=True, help="Only those with an attempt of unknown outcome.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    state: str | None,
    subscription: str | None,
    customer: str | None,
    parked: bool | None,
    unknown: bool,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List payments in order of creation."""
    from billing.queries import payments as queries

    with session.connect() as conn:
        rows = queries.payments(
            conn,
            state=state,
            subscription_id=find(conn, "subscription", subscription) if subscription else None,
            customer_id=find(conn, "customer", customer) if customer else None,
            parked=parked,
            unknown=unknown or None,
            after=after,
            limit=limit + 1,
        )
    write_page(output, rows, PAYMENTS, limit)


@charges.command("show")
@click.argument("payment")
@output_option
@click.pass_obj
def show(session: Session, payment: str, output: Output) -> None:
    """Show a payment with its attempts and its history."""
    from billing.queries import payments as queries

    with session.connect() as conn:
        payment_id = find(conn, "payment", payment)
        record = {
            **plain(queries.payments(conn, id=payment_id)[0]),
            "attempt_rows": [plain(row) for row in queries.attempts_of(conn, payment_id)],
            "transitions": [plain(row) for row in queries.transitions(conn, payment_id)],
        }
    output.record(record, {"attempt_rows": ATTEMPTS, "transitions": TRANSITIONS})


@charges.command("retry")
@click.argument("payment")
@reason_option
@lasting
@output_option
@click.pass_obj
def retry(
    session: Session, payment: str, reason: str, dry_run: bool, yes: bool, output: Output
) -> None:
    """Try a payment again now, outside the ladder.

    A payment that was given up is reopened. No rung of the ladder is used.
    """
    from billing.flows.context import Joined
    from billing.flows.subscriptions import retrying

    with session.connect() as conn:
        payment_id = find(conn, "payment", payment)
    planned = retrying.retry(
        session.engine, payment_id, now=session.now(), actor=person(), why=reason, dry_run=True
    )
    words = f"try payment {payment_id} again now ({planned.state})"
    if not dry_run:
        talk(f"this will {words}")
        confirm("Charge it?", yes=yes)
        now = session.now()
        with session.audited("payment.retry", payment_id, reason) as conn:
            retrying.retry(Joined(conn), payment_id, now=now, actor=person(), why=reason)
    if dry_run:
        words = f"would {words}"
    else:
        words = f"payment {payment_id} is tried again now; no rung is used"
    record = {"action": "retry", "dry_run": dry_run, "payment_id": payment_id, "words": words}
    output.message(record, words)


@charges.command("capture")
@click.argument("payment")
@click.option("--amount", metavar="AMOUNT", help="How much, like 9.99; all of it if not given.")
@lasting
@output_option
@click.pass_obj
def capture(
    session: Session, payment: str, amount: str | None, dry_run: bool, yes: bool, output: Output
) -> None:
    """Capture an authorised payment, or a part of it; the rest is given free.

    A worker captures it; `billing charges show` says what became of it.
    """
    from billing.cli.amounts import read_amount
    from billing.flows.payments import authorizations
    from billing.queries import payments as queries

    with session.connect() as conn:
        row = queries.payment(conn, find(conn, "payment", payment))
        assert row is not None, "it was found a moment ago"
        wanted = None if amount is None else read_amount(amount, row.currency, "--amount")
        money = authorizations.capturable(row, wanted, session.now())
    words = f"capture {money} of payment {row.id}"
    record = {
        "action": "capture",
        "dry_run": dry_run,
        "payment_id": row.id,
        "amount": money.amount,
        "currency": money.currency,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Capture it?", yes=yes)
    now, detail = session.now(), {"amount": money.amount, "currency": money.currency}
    with session.audited("payment.capture", row.id, "", detail) as conn:
        authorizations.request_capture(conn, row.id, amount=money, now=now, actor=person())
    output.message(record, f"the capture of {money} of payment {row.id} is requested")


@charges.command("void")
@click.argument("payment")
@reason_option
@lasting
@output_option
@click.pass_obj
def void(
    session: Session, payment: str, reason: str, dry_run: bool, yes: bool, output: Output
) -> None:
    """Give up an authorised payment: nothing will be captured."""
    from billing.flows.payments import authorizations

    with session.connect() as conn:
        payment_id = find(conn, "payment", payment)
    record = {"action": "void", "dry_run": dry_run, "payment_id": payment_id}
    with session.engine.connect() as conn:  # tried, and rolled back
        authorizations.request_void(conn, payment_id, now=session.now(), actor=person(), why=reason)
    if dry_run:
        output.message(record, f"would void payment {payment_id}")
        return
    talk(f"this will void payment {payment_id}")
    confirm("Give it up?", yes=yes)
    now = session.now()
    with session.audited("payment.void", payment_id, reason) as conn:
        authorizations.request_void(conn, payment_id, now=now, actor=person(), why=reason)
    output.message(record, f"the void of payment {payment_id} is requested")


@charges.command("explain")
@click.argument("payment")
@output_option
@click.pass_obj
def explain(session: Session, payment: str, output: Output) -> None:
    """Tell in words why a payment was, or wasn't, charged."""
    from billing.cli.commands.explain import write
    from billing.queries.explain import explain_payment

    with session.connect() as conn:
        payment_id = find(conn, "payment", payment)
        explained = explain_payment(conn, payment_id, session.now())
    write(output, "payment", payment_id, explained)
