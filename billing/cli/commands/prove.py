"""`billing prove`: every promise, checked again from the rows."""

from typing import TYPE_CHECKING, Any

import click

from billing.cli.failures import DIFFERENCES, FINDINGS, OK
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.session import Session

if TYPE_CHECKING:
    from billing.flows.prove import PromiseResult

_CATCH_UP_SECONDS = 30.0
_COLUMNS = ("promise", "title", "holds", "checked", "findings", "differences")


@click.command()
@output_option
@click.pass_obj
def prove(session: Session, output: Output) -> int:
    """Check every promise from the rows.

    Each period once, each cycle paid once, every penny booked. Reads everything and changes
    nothing. Ends with 3 if a promise is broken, and with 6 if all hold and the provider differs
    from a cycle since that was closed.
    """
    from billing.flows.prove import prove as check
    from billing.presenters.findings import in_words

    _let_the_reconciler_catch_up(session)
    with session.engine_for_long_reads() as engine, progress("proving", None):
        results = check(engine, session.now())
    if output.format == "table":
        output.records([_row(result) for result in results], _COLUMNS)
        for result in results:
            for finding in result.findings:
                click.echo(f"promise {result.promise}: {in_words(finding)}")
            for finding in result.differences:
                click.echo(f"difference: {in_words(finding)}")
    else:
        output.records([_record(result) for result in results], _COLUMNS)
    if not all(result.holds for result in results):
        talk("a promise is broken: see the findings")
        return FINDINGS
    if any(result.differences for result in results):
        talk("every promise holds; the provider differs since cycles were closed: see the breaks")
        return DIFFERENCES
    talk("every promise holds")
    return OK


def _let_the_reconciler_catch_up(session: Session) -> None:
    """After a test clock was moved, wait for the reconciler to have seen what passed.

    It runs in real time, so a quarter that passed in seconds would look forgotten to it. Where
    none runs there is nothing to wait for, and what wasn't compared is a finding.
    """
    from billing.flows.prove import RECONCILE_GRACE
    from billing.workers.up import advance

    runtime, seen = session.runtime, session.now() - RECONCILE_GRACE
    if session.settings.mode != "sandbox" or advance.reconciler_is_done(runtime, seen):
        return
    tick = session.settings.reconciler.tick.total_seconds()
    if not advance.reconciler_ran_within(runtime, tick + _CATCH_UP_SECONDS):
        return
    talk("waiting for the reconciler to see what the clock has passed")
    with progress("waiting for the reconciler", None):
        advance.wait_for_reconciler(runtime, seen, _CATCH_UP_SECONDS)


def _record(result: "PromiseResult") -> dict[str, Any]:
    from billing.presenters.findings import in_words

    return {
        "promise": result.promise,
        "title": result.title,
        "holds": result.holds,
        "checked": dict(result.checked),
        "findings": [in_words(finding) for finding in result.findings],
        "differences": [in_words(finding) for finding in result.differences],
        "kinds": dict(result.by_kind),
    }


def _row(result: "PromiseResult") -> dict[str, Any]:
    checked = ", ".join(f"{count:,} {what}" for what, count in result.checked.items())
    return {**_record(result), "checked": checked, "findings": f"{len(result.findings)}"}
