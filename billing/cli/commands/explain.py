"""`billing explain`: in words, from the plan version to the journal entry."""

from typing import TYPE_CHECKING
from uuid import UUID

import click

from billing.cli.output import Output, output_option
from billing.cli.references import look_for
from billing.cli.session import Session
from billing.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from billing.queries.explain import Explanation


@click.command()
@click.argument("reference")
@output_option
@click.pass_obj
def explain(session: Session, reference: str, output: Output) -> None:
    """Tell in words why something was, or wasn't, charged.

    REFERENCE is a subscription, a payment or an invoice: an id, its beginning, an external id or
    an invoice number.
    """
    from billing.queries.explain import explain_invoice, explain_payment, explain_subscription

    now = session.now()
    with session.connect() as conn:
        kind, found = _find(conn, reference)
        if kind == "payment":
            explained: Explanation = explain_payment(conn, found, now)
        elif kind == "invoice":
            explained = explain_invoice(conn, found, now)
        else:
            explained = explain_subscription(conn, str(found), now)
    write(output, kind, found, explained)


def _find(conn: "Connection", reference: str) -> tuple[str, UUID]:
    """Return what kind of thing was named, and its id; an invoice stands for its payment."""
    from billing.queries.invoices import invoices

    subscription = look_for(conn, "subscription", reference)
    if subscription is not None:
        return "subscription", subscription
    payment = look_for(conn, "payment", reference)
    if payment is not None:
        return "payment", payment
    invoice = look_for(conn, "invoice", reference)
    if invoice is not None:
        row = invoices(conn, id=invoice)[0]
        if row.payment_id is not None:
            return "payment", row.payment_id
        if row.subscription_id is not None:
            return "subscription", row.subscription_id
        return "invoice", row.id
    raise NotFound(
        f"no subscription, payment or invoice {reference!r}",
        remedy="`billing subscriptions list` and `billing charges list` show them",
    )


def write(output: Output, kind: str, found: UUID, explained: "Explanation") -> None:
    """Write an explanation: titles with their sentences, or one object."""
    from billing.presenters.explain import sections as in_words

    sections = in_words(explained)
    if output.format != "table":
        output.record({"kind": kind, "id": found, "sections": sections})
        return
    blocks = [
        "\n".join([section.title.upper(), *(f"  {line}" for line in section.sentences)])
        for section in sections
    ]
    click.echo("\n\n".join(blocks))
