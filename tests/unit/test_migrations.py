"""The migrations are one line, in which each comes after the one before it by number."""

from itertools import pairwise
from pathlib import Path

from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def test_migrations_follow_one_another_by_number() -> None:
    files = sorted((MIGRATIONS / "versions").glob("[0-9]*.py"))
    script = ScriptDirectory(str(MIGRATIONS))
    found = {each.revision: each for each in script.walk_revisions()}

    numbers = [file.name.partition("_")[0] for file in files]
    assert numbers == [f"{n:04}" for n in range(1, len(files) + 1)]
    assert sorted(found) == numbers
    for before, after in pairwise(numbers):
        assert found[after].down_revision == before
