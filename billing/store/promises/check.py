"""A check of stored promises: one statement over all rows, whose every row is a finding."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause, text

from billing.rules.money import Money, format_money

SHOWN_MAX: Final = 20

# States of a payment whose money was captured.
PAID_STATES: Final = "('CAPTURED', 'SETTLED', 'REFUNDED')"

# A condition on an entry `e`: no entry reverses it.
STANDS: Final = "NOT EXISTS (SELECT FROM ledger.entries r WHERE r.reverses_entry_id = e.id)"


def in_list(words: Sequence[str]) -> str:
    """Return constant words as the list of an IN; never for values from outside."""
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


@dataclass(frozen=True, slots=True)
class Check:
    """A statement whose every row is a finding; `words` puts it into a sentence."""

    statement: TextClause
    words: Callable[[Row[Any]], str]

    def run(self, conn: Connection, params: Mapping[str, Any]) -> Iterator[str]:
        """Yield the findings, at most `SHOWN_MAX` of them and then how many more there are."""
        rows = conn.execute(self.statement, {**params, "shown_max": SHOWN_MAX}).all()
        for row in rows:
            yield self.words(row)
        if rows and rows[0].found > len(rows):
            yield f"and {rows[0].found - len(rows):,} more of this kind"


def check(select: str, order: str, words: Callable[[Row[Any]], str]) -> Check:
    """Return the check that finds the rows of `select`, in this order."""
    statement = (
        f"SELECT *, count(*) OVER () AS found FROM ({select}) finding"  # noqa: S608  our constants
        f" ORDER BY {order} LIMIT :shown_max"
    )
    return Check(text(statement), words)


def in_words(amount: Any, currency: str | None) -> str:
    """Write an amount for a person, also an impossible one."""
    try:
        return format_money(Money(int(amount or 0), currency or ""))
    except ValueError:  # an unknown currency is itself a part of the finding
        return f"{amount} minor units of {currency}"
