"""`billing prove`: every promise, checked again from the rows."""

from typing import TYPE_CHECKING, Any

import click

from billing.cli.failures import FINDINGS, OK
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.session import Session

if TYPE_CHECKING:
    from billing.flows.prove import PromiseResult

_COLUMNS = ("promise", "title", "holds", "checked", "findings")


@click.command()
@output_option
@click.pass_obj
def prove(session: Session, output: Output) -> int:
    """Check every promise from the rows.

    Each period once, each cycle paid once, every penny booked. Reads everything and changes
    nothing. Ends with 3 if a promise is broken.
    """
    from billing.flows.prove import prove as check

    with session.patient_engine() as engine, progress("proving", None):
        results = check(engine, session.now())
    if output.format == "table":
        output.records([_row(result) for result in results], _COLUMNS)
        for result in results:
            for finding in result.findings:
                click.echo(f"promise {result.promise}: {finding}")
    else:
        output.records([_record(result) for result in results], _COLUMNS)
    if not all(result.holds for result in results):
        talk("a promise is broken: see the findings")
        return FINDINGS
    talk("every promise holds")
    return OK


def _record(result: "PromiseResult") -> dict[str, Any]:
    return {
        "promise": result.promise,
        "title": result.title,
        "holds": result.holds,
        "checked": dict(result.checked),
        "findings": list(result.findings),
    }


def _row(result: "PromiseResult") -> dict[str, Any]:
    checked = ", ".join(f"{count:,} {what}" for what, count in result.checked.items())
    return {**_record(result), "checked": checked, "findings": f"{len(result.findings)}"}
