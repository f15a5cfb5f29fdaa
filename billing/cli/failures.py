"""How each error is shown, and which exit code it ends with: one line of what, where, remedy.

An error of a library that a user can do something about becomes one of ours here; anything
else is a fault of the program, shown in one line unless --debug asks for the traceback.
"""

import os
import sys
import traceback
from typing import Final

import click

from billing.cli.remedies import remedy_of
from billing.errors import BadInput, BillingError, SchemaUnknown, Unavailable, first_line
from billing.rules.texts import one_line, visible

OK: Final = 0
ERROR: Final = 1
BAD_INPUT: Final = 2
FINDINGS: Final = 3
UNAVAILABLE: Final = 4
SCHEMA_UNKNOWN: Final = 5
DIFFERENCES: Final = 6
EARLIER_STEP: Final = 7
FAULT: Final = 70
INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    (OK, "done"),
    (ERROR, "refused or failed, or not confirmed; nothing was changed unless it says so"),
    (BAD_INPUT, "bad input: usage, configuration, catalog, an unknown id, a state that forbids it"),
    (FINDINGS, "a check found something: prove, ledger verify, plans diff, doctor, demo"),
    (UNAVAILABLE, "database, Redis or provider don't answer; trying again may work"),
    (SCHEMA_UNKNOWN, "the database's schema isn't the one this program knows"),
    (DIFFERENCES, "prove: every promise holds; the provider differs since a cycle was closed"),
    (EARLIER_STEP, "reconcile run --step: another step of the run comes first"),
    (FAULT, "a fault of this program"),
    (INTERRUPTED, "interrupted by Ctrl-C"),
)

_UNDEFINED_TABLE: Final = "42P01"
_NO_PRIVILEGE: Final = "42501"
_READ_ONLY: Final = "25006"


def color_on_stderr() -> bool | None:
    """Return False where colour was declined, None to let the terminal decide."""
    return False if os.environ.get("NO_COLOR") else None


def tell(error: BaseException, *, debug: bool) -> int:
    """Write an error to stderr and return the exit code."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _say("interrupted", None, None)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _tell_usage(error)
    problems = getattr(error, "problems", None)
    if problems is not None and type(error).__name__ == "CatalogError":
        for problem in problems:
            where = f"{problem.file}:{problem.line}"
            _say(f"{where}: {problem.key}: {problem.what}", None, problem.remedy)
        return BAD_INPUT
    known = as_billing_error(error)
    if known is not None:
        _say(known.what, known.where, remedy_of(known))
        return known.exit_code
    _say(f"{type(error).__name__}: {first_line(error)}", None, "run with --debug for the traceback")
    return FAULT


def _tell_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return BAD_INPUT
    context = getattr(error, "ctx", None)
    remedy = f"see `{context.command_path} --help`" if context is not None else None
    _say(error.format_message(), None, remedy)
    return BAD_INPUT


def _say(what: str, where: str | None, remedy: str | None) -> None:
    color = color_on_stderr()
    lines = [click.style("error: ", fg="red", bold=True) + visible(what)]
    lines += [f"  where: {one_line(where)}"] if where else []
    lines += [f"  remedy: {visible(remedy)}"] if remedy else []
    click.echo("\n".join(lines), err=True, color=color)


def as_billing_error(error: BaseException) -> BillingError | None:
    """Return the error as one that a user can act on, or None for a fault of the program.

    Libraries that weren't imported can't have raised, so none is imported here for nothing.
    """
    if isinstance(error, BillingError):
        return error
    if "sqlalchemy" in sys.modules:
        found = _of_database(error)
        if found is not None:
            return found
    if "redis" in sys.modules:
        import redis

        if isinstance(error, redis.RedisError):
            return Unavailable(
                f"Redis does not answer: {first_line(error)}",
                where="[redis] url",
                remedy="start it (`billing up` starts the embedded one) or correct the URL",
            )
    return None


def _of_database(error: BaseException) -> BillingError | None:
    from sqlalchemy.exc import DBAPIError, OperationalError
    from sqlalchemy.exc import TimeoutError as NoConnectionFree

    from billing.queries.database import reachable

    if isinstance(error, NoConnectionFree):
        return Unavailable("no database connection became free", remedy="try again in a moment")
    if not isinstance(error, DBAPIError):
        return None
    try:
        with reachable():
            raise error
    except Unavailable as unavailable:
        return unavailable
    except DBAPIError:
        return _refused(error, isinstance(error, OperationalError))


def _refused(error: "BaseException", passing: bool) -> BillingError | None:
    """Tell what the database answered; `passing` errors (locks, timeouts) may go away."""
    original = getattr(error, "orig", error)
    state, line = getattr(original, "sqlstate", None), first_line(original)
    if state == _UNDEFINED_TABLE:
        return SchemaUnknown(
            f"the schema is not complete: {line}", remedy="run `billing db migrate`"
        )
    if state == _NO_PRIVILEGE:
        remedy = "connect as a user that may become [database] role, or grant it the rights"
        return BadInput(f"the database forbids it: {line}", where="[database] url", remedy=remedy)
    if state == _READ_ONLY:
        remedy = "point [database] url at the primary"
        return BadInput("this database takes no writes", where="[database] url", remedy=remedy)
    if passing:
        return Unavailable(f"the database gave up: {line}", remedy="try again in a moment")
    return None
