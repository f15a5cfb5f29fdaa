"""`billing reconcile run --step`: one step of a run, for a job runner that says when."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from billing.cli.failures import EARLIER_STEP, ERROR, FINDINGS, OK, UNAVAILABLE
from billing.cli.output import Output, talk
from billing.cli.session import Session, person
from billing.errors import first_line

if TYPE_CHECKING:
    from billing.flows.settlement.stepping import Stepped

COLUMNS: Final = ("provider", "step", "as_of", "standing", "first", "run_id", "counts", "words")


def step(
    session: Session,
    accounts: Sequence[str],
    name: str,
    *,
    as_of: datetime,
    retry: bool,
    output: Output,
) -> int:
    """Take one step of each account's run, show how it stands, and return the exit code.

    Of several accounts, the one that has to be seen to first decides.
    """
    from billing.workers.daemons import asked_steps

    assert session.engine is not None, "the schema is checked first"
    found = [
        asked_steps.take(session.runtime, account, name, as_of=as_of, actor=person(), retry=retry)
        for account in accounts
    ]
    records = [_record(each) for each in found]
    if len(records) == 1:
        output.record(records[0])
    else:
        output.records(records, COLUMNS)
    for each in found:
        talk(_words(each, several=len(found) > 1))
    codes = {_exit_code(each) for each in found}
    return next(code for code in (ERROR, EARLIER_STEP, UNAVAILABLE, FINDINGS, OK) if code in codes)


def _record(found: "Stepped") -> dict[str, Any]:
    return {
        "provider": found.provider,
        "step": found.step,
        "as_of": found.as_of,
        "standing": str(found.standing),
        "run_id": found.run_id,
        "first": found.first,
        "counts": {name: count for name, count in found.counts.items() if count},
        "words": first_line(found.error) if found.error is not None else found.words,
    }


def _exit_code(found: "Stepped") -> int:
    from billing.flows.settlement.stepping import StepStanding

    match found.standing:
        case StepStanding.DONE:
            return FINDINGS if found.breaks_new else OK
        case StepStanding.TOO_EARLY:
            return EARLIER_STEP
        case StepStanding.FAILED:
            return ERROR
        case _:
            return UNAVAILABLE


def _words(found: "Stepped", *, several: bool) -> str:
    from billing.flows.settlement.stepping import StepStanding

    error = first_line(found.error) if found.error else found.words
    told = {
        StepStanding.DONE: f"{found.step} is done",
        StepStanding.TOO_EARLY: f"{found.step} can't begin: {found.first} comes first",
        StepStanding.HELD: "somebody else works on it, or it failed a moment ago: try again",
        StepStanding.STOPPED: f"{error}: try again",
        StepStanding.FAILED: f"the run was given up: {found.words}; --retry goes on with it",
    }[found.standing]
    if found.is_done and found.run_id is None:
        told = "no money ever moved: there is nothing to reconcile"
    if found.is_done and found.breaks_new:
        told = f"{found.breaks_new} new break(s): `billing breaks list` shows them"
    return f"{found.provider}: {told}" if several else told
