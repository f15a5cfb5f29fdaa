"""Mutants, tried as the owner with the guards off and as the application with them on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tests.promises import catalogue, whole_entries
from tests.promises.by_hand import BY_HAND
from tests.promises.catalogue import Mutant
from tests.promises.scene import Scene
from tests.promises.trial import Outcome, Proof, tried

Chosen = Callable[[Sequence[str]], Sequence[str]]
"""Chooses the places (kinds of entries, columns) whose mutants are tried."""


@dataclass(frozen=True, slots=True)
class Results:
    """What became of the mutants: of those by hand, of whole entries, and of the catalogue's.

    `made` are all that there are of the last two. Of a place, all mutants were tried, or none.
    """

    by_hand: Sequence[Outcome]
    entries: Sequence[Outcome]
    columns: Sequence[Outcome]
    made: Sequence[Mutant]

    @property
    def generated(self) -> Sequence[Outcome]:
        """Those that nobody thought of."""
        return [*self.entries, *self.columns]


def tried_in(scene: Scene, chosen: Chosen = lambda places: places) -> Results:
    """Try the mutants of the chosen places and those by hand; nothing stays in the database."""
    entries = list(whole_entries.mutants())
    with scene.owner.connect() as conn:
        proof = Proof(conn, scene.now)
        columns = [
            mutant
            for table in catalogue.described(conn)
            for mutant in catalogue.mutants(conn, table)
        ]
    by_hand = [attack.mutant(name) for name, attack in BY_HAND.items()]
    parts = (by_hand, _of(chosen, entries), _of(chosen, columns))
    with _unguarded(scene) as owner:
        owners = [[tried(owner, each, proof) for each in part] for part in parts]
    with scene.app.connect() as app:
        apps = [[tried(app, each, None) for each in part] for part in parts]
        app.rollback()
    first, second, third = (
        [Outcome(*each) for each in zip(part, owner, app, strict=True)]
        for part, owner, app in zip(parts, owners, apps, strict=True)
    )
    return Results(first, second, third, [*entries, *columns])


def _of(chosen: Chosen, mutants: Sequence[Mutant]) -> list[Mutant]:
    places = set(chosen(list(dict.fromkeys(each.place for each in mutants))))
    return [each for each in mutants if each.place in places]


@contextmanager
def _unguarded(scene: Scene) -> Iterator[Connection]:
    """The owner's connection, in which no trigger and no foreign key is left."""
    with scene.owner.connect() as conn:
        for table in catalogue.described(conn):
            conn.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER ALL"))
        yield conn
        conn.rollback()
