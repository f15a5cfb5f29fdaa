"""The mutants that neither the database nor the proof names, each with the reason.

A row explains mutants of its columns: all of them, or those that are changed in this way, or of
these sorts of rows. A row that explains nothing is an error. Which mutants of a column survive and
which are named stands on the page, and a change of it is an error there.
"""

import tomllib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.promises.catalogue import Mutant

LIST: Final = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why mutants of these columns survive; without `how` or `sorts`, however and of any sort."""

    columns: Sequence[str]
    why: str
    how: Sequence[str] = ()
    sorts: Sequence[str] = ()

    def explains(self, mutant: Mutant) -> bool:
        return (
            mutant.place in self.columns
            and (not self.how or mutant.how in self.how)
            and (not self.sorts or mutant.sort in self.sorts)
        )


def reasons() -> list[Reason]:
    """Read the list."""
    rows = tomllib.loads(LIST.read_text())["survives"]
    return [Reason(**row) for row in rows]


def unexplained(survivors: Iterable[Mutant], known: Sequence[Reason]) -> list[Mutant]:
    """Return the survivors that no row explains."""
    return [each for each in survivors if not any(reason.explains(each) for reason in known)]


def idle(survivors: Sequence[Mutant], known: Sequence[Reason], places: Container[str]) -> list[str]:
    """Return the columns of rows that explain no survivor, of the places that were tried."""
    return [
        f"{column}: no mutant survives as the row says ({reason.why})"
        for reason in known
        for column in reason.columns
        if column in places
        and not any(each.place == column and reason.explains(each) for each in survivors)
    ]


def nowhere(known: Sequence[Reason], made: Iterable[Mutant]) -> list[str]:
    """Return the columns of rows that no mutant is of."""
    places = {each.place for each in made}
    return [column for reason in known for column in reason.columns if column not in places]
