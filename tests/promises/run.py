"""All mutants, tried as the owner with the guards off and as the application with them on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tests.promises import catalogue, whole_entries
from tests.promises.by_hand import BY_HAND
from tests.promises.scene import Scene
from tests.promises.trial import Outcome, Proof, tried


@dataclass(frozen=True, slots=True)
class Results:
    """What became of every mutant: of those by hand, of whole entries, and of the catalogue's."""

    by_hand: Sequence[Outcome]
    entries: Sequence[Outcome]
    columns: Sequence[Outcome]

    @property
    def generated(self) -> Sequence[Outcome]:
        """Those that nobody thought of."""
        return [*self.entries, *self.columns]


def everything(scene: Scene) -> Results:
    """Try all mutants; nothing of them is left in the database."""
    with scene.owner.connect() as conn:
        proof = Proof(conn, scene.now)
        columns = [
            mutant
            for table in catalogue.described(conn)
            for mutant in catalogue.mutants(conn, table)
        ]
    by_hand = [attack.mutant(name) for name, attack in BY_HAND.items()]
    parts = (by_hand, list(whole_entries.mutants()), columns)
    with _unguarded(scene) as owner:
        owners = [[tried(owner, each, proof) for each in part] for part in parts]
    with scene.app.connect() as app:
        apps = [[tried(app, each, None) for each in part] for part in parts]
        app.rollback()
    made = [
        [Outcome(*each) for each in zip(part, owner, app, strict=True)]
        for part, owner, app in zip(parts, owners, apps, strict=True)
    ]
    return Results(*made)


@contextmanager
def _unguarded(scene: Scene) -> Iterator[Connection]:
    """The owner's connection, in which no trigger and no foreign key is left."""
    with scene.owner.connect() as conn:
        for table in catalogue.described(conn):
            conn.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER ALL"))
        yield conn
        conn.rollback()
