"""Options and kinds of values that many commands share."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import click

from billing.errors import BadInput, BillingError
from billing.rules.texts import nearest

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Word(click.Choice[str]):
    """One of a few words, in any case; a near miss is answered with what was probably meant."""

    name = "word"

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__([str(word) for word in words], case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Name the words there are, and the nearest one."""
        return f"{value!r} is not one of {', '.join(self.choices)}.{nearest(value, self.choices)}"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Keep the usage line short; the help text lists the words."""
        return (param.name or "word").upper()


def word_option(name: str, words: Iterable[str], help: str) -> Callable[[Any], Any]:
    """Return an option that takes one of some words, which its help lists."""
    listed = [str(word) for word in words]
    return click.option(name, type=Word(listed), help=f"{help}: {', '.join(listed)}.")


def paged(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a list command --limit and --after."""
    function = click.option(
        "--after", type=click.UUID, metavar="ID", help="Go on after the row with this id."
    )(function)
    return click.option(
        "--limit",
        type=click.IntRange(1, 10_000),
        default=50,
        show_default=True,
        help="How many rows at most.",
    )(function)


def provider_option(help: str) -> Callable[[Any], Any]:
    """Return an option that takes the name of an account of the configuration."""
    return click.option("--provider", metavar="NAME", help=help)


def currency_option(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command whose amounts are new --currency."""
    return click.option(
        "--currency", required=True, metavar="CODE", help="The currency, like USD."
    )(function)


def reason_option(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command --reason, which is kept in the history."""
    return click.option(
        "--reason",
        default="no reason given",
        metavar="TEXT",
        help="Why; kept in the history.",
    )(function)


def lasting(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command that moves money or can't be taken back --dry-run and --yes."""
    function = click.option("--yes", "-y", is_flag=True, help="Don't ask for a confirmation.")(
        function
    )
    return click.option(
        "--dry-run", is_flag=True, help="Say what would be done, and change nothing."
    )(function)


class NotConfirmed(BillingError):
    """The person said no."""


def confirm(question: str, *, yes: bool) -> None:
    """Return once the person agreed. Raises: BadInput without a terminal, NotConfirmed."""
    if yes:
        return
    if not has_terminal():
        raise BadInput(
            "this needs a confirmation, and there is no terminal to ask on",
            remedy="add --yes to go ahead, or --dry-run to see what would be done",
        )
    if not click.confirm(question, err=True):
        raise NotConfirmed("not confirmed: nothing was changed")


def has_terminal() -> bool:
    """Say whether somebody can answer a question."""
    return sys.stdin.isatty()


def more_hint(rows: int, limit: int, last: UUID | str | int) -> None:
    """Tell, on stderr, how to read on when there is more than was shown."""
    if rows > limit:
        click.echo(f"more: --after {last}", err=True)
