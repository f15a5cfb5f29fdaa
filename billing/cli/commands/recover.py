"""`billing recover`: adopting what the provider holds and the database has forgotten."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from billing.cli.failures import FINDINGS, OK
from billing.cli.options import confirm, lasting, provider_option
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.session import Session

if TYPE_CHECKING:
    from billing.flows.context import Context
    from billing.flows.recovery.finding import RecoveryItem
    from billing.flows.recovery.recovering import Adoption, Prepared

_COLUMNS = ("provider", "kind", "theirs", "created", "amount", "subscription", "words")


@click.command()
@provider_option("Only this account; else each one.")
@lasting
@output_option
@click.pass_obj
def recover(
    session: Session, provider: str | None, dry_run: bool, yes: bool, output: Output
) -> int:
    """Adopt what the provider holds of this engine and the database has forgotten.

    For a database that was restored, copied or promoted: compares it with each account, opens the
    cycles that were charged, writes down payments, refunds, disputes and customers, lets charging
    go on, and ends with `billing prove`. Sends nothing. Ends with 3 where something holds the
    recovery up, or where a promise is broken.
    """
    from billing.flows.recovery import recovering

    gateways = session.runtime.gateways
    accounts = gateways.names if provider is None else (gateways.named(provider),)
    contexts = [session.context.at_provider(account) for account in accounts]
    prepared = [(each, recovering.prepare(each)) for each in contexts]
    unknown = sum(len(each.items) for _, each in prepared)
    if all(each.unknown is None for _, each in prepared):
        output.records([], _COLUMNS)
        talk("the database knows all that the provider holds: nothing is to be recovered")
        return OK
    if dry_run:
        planned = [_planned(each.account, item) for _, each in prepared for item in each.items]
        output.records(planned, _COLUMNS)
        talk(f"would adopt or pass over {unknown} object(s), and let charging go on")
        return OK
    talk(f"{unknown} object(s) are unknown here; --dry-run lists them")
    confirm("Stop every other database of this engine first. Adopt them now?", yes=yes)
    records, held = _recovered(session, prepared)
    output.records(records, _COLUMNS)
    if held:
        talk(f"nothing is sent to {', '.join(held)}: see what holds the recovery up")
        return FINDINGS
    talk("recovered: charging goes on")
    return _proved(session)


def _recovered(
    session: Session, prepared: "Sequence[tuple[Context, Prepared]]"
) -> tuple[list[dict[str, Any]], list[str]]:
    """Adopt what was prepared; return the records, and the accounts that stay closed."""
    from billing.flows.recovery import recovering

    records: list[dict[str, Any]] = []
    held: list[str] = []
    for context, each in prepared:
        if each.unknown is None:
            continue
        detail: dict[str, Any] = {}
        with session.audited("provider.recover", each.account, "", detail):
            pass
        adopted: list[Adoption] = []
        with progress(f"adopting from {each.account}", float(len(each.items))) as bar:
            for found in recovering.recover(context, each):
                adopted.append(found)
                bar(float(len(adopted)), found.item.theirs)
        records += [_done(each.account, found) for found in adopted]
        if not recovering.finish(context, each, adopted):
            held.append(each.account)
    return records, held


def _proved(session: Session) -> int:
    """Check every promise, tell what is broken, and return the exit code.

    What is late isn't looked at: it was held back until now, and the running engine does it.
    """
    from billing.flows.prove import prove
    from billing.presenters.findings import in_words

    with session.engine_for_long_reads() as engine, progress("proving", None):
        results = prove(engine, None)
    findings = [(each.promise, finding) for each in results for finding in each.findings]
    for promise, finding in findings:
        talk(f"promise {promise}: {in_words(finding)}")
    talk("a promise is broken" if findings else "every promise holds")
    return FINDINGS if findings else OK


def _planned(account: str, item: "RecoveryItem") -> dict[str, Any]:
    from billing.presenters.recovery import planned

    return _record(account, item) | {"result": str(item.plan), "words": planned(item)}


def _done(account: str, adopted: "Adoption") -> dict[str, Any]:
    from billing.presenters.recovery import done

    words = done(adopted.result, adopted.why)
    return _record(account, adopted.item) | {"result": str(adopted.result), "words": words}


def _record(account: str, item: "RecoveryItem") -> dict[str, Any]:
    money = item.amount
    return {
        "provider": account,
        "kind": str(item.kind),
        "theirs": item.theirs,
        "ours": item.ours,
        "created": item.created,
        "amount": None if money is None else money.amount,
        "currency": None if money is None else money.currency,
        "customer": item.customer,
        "subscription": item.subscription,
    }
