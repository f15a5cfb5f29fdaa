"""Looking at one thing that the engine needs: whether it is as it should be, and the remedy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from billing.cli.failures import FINDINGS, OK, UNAVAILABLE, as_billing_error
from billing.cli.remedies import remedy_of
from billing.errors import Unavailable

CHECKS: Final = ("check", "result", "words", "remedy")


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking at one thing brought."""

    check: str
    result: Literal["ok", "problem", "unavailable", "skipped"]
    words: str
    remedy: str | None = None


def looked(name: str, check: Callable[[], str]) -> Looked:
    """Run one check, which returns what is right; what it raises is what is wrong."""
    try:
        return Looked(name, "ok", check())
    except Exception as error:
        problems = getattr(error, "problems", None)
        if problems:
            first = f"{len(problems)} mistake(s), the first: {str(problems[0]).splitlines()[0]}"
            return Looked(name, "problem", first, "`billing plans check` shows all of them")
        known = as_billing_error(error)
        if known is None:
            raise
        result: Literal["unavailable", "problem"] = (
            "unavailable" if isinstance(known, Unavailable) else "problem"
        )
        words = known.what if known.where is None else f"{known.what} ({known.where})"
        return Looked(name, result, words, remedy_of(known))


def exit_code(found: Iterable[Looked]) -> int:
    """Return the exit code: something doesn't answer, something else is wrong, or nothing is."""
    results = {each.result for each in found}
    if "unavailable" in results:
        return UNAVAILABLE
    return FINDINGS if "problem" in results else OK
