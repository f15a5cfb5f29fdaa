"""Databases for tests, each a copy of one that was prepared, in files that are used again.

A copy has 700 files. To make and to remove them takes longer than many a test; few of them are
written to. So PostgreSQL is told to copy a database without files, and finds those of an earlier
copy in the place of them: what was written to is as the template's again. It is a new database,
with a number of its own, of which PostgreSQL remembers nothing.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

_LEAST: Final = "PG_VERSION"  # PostgreSQL copies no folder that is empty
_UNTOUCHED: Final = 0  # when a file was last changed, as long as nobody writes to it

_numbers = count(1)


def copy_database(admin: Connection, template: str, name: str) -> None:
    """Make a copy of a database."""
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))


class Copies:
    """Copies of a database that nobody writes to any more."""

    def __init__(self, admin: Connection, template: str) -> None:
        self._admin, self._template = admin, template
        self._without_files = f"{template}_without_files"
        data = admin.execute("SHOW data_directory").fetchone()
        assert data is not None
        self._base = Path(data[0]) / "base"
        self._kept = Path(data[0]).parent / "kept" / template
        self._contents: Mapping[str, bytes] = {}
        self._free: list[Path] = []

    @contextmanager
    def copied(self) -> Iterator[str]:
        """Yield the name of a copy, which is gone afterwards."""
        name = f"test_{next(_numbers)}"
        files = self._free.pop() if self._free else self._new_files(name)
        copy_database(self._admin, self._without_files, name)
        number = self._number(name)
        place = self._base / str(number)
        shutil.rmtree(place)
        place.symlink_to(files)  # PostgreSQL follows it, and doesn't remove what it leads to
        yield name
        self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        if self._is_there(number):
            return  # under another name
        place.unlink()
        if self._restored(files):
            self._free.append(files)
        else:
            shutil.rmtree(files)

    def _new_files(self, name: str) -> Path:
        """Return a folder with the template's files, as PostgreSQL copies them."""
        if not self._contents:
            copy_database(self._admin, self._template, self._without_files)
            own = list((self._base / str(self._number(self._without_files))).iterdir())
            self._contents = {each.name: each.read_bytes() for each in own}
            for each in own:
                if each.name != _LEAST:
                    each.unlink()
            self._kept.mkdir(parents=True)
        made = f"{name}_files"
        copy_database(self._admin, self._template, made)
        files = (self._base / str(self._number(made))).rename(self._kept / name)
        self._admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(made)))
        return files

    def _number(self, name: str) -> int:
        query = "SELECT oid FROM pg_database WHERE datname = %s"
        found = self._admin.execute(query, (name,)).fetchone()
        assert found is not None, name
        return int(found[0])

    def _is_there(self, number: int) -> bool:
        query = "SELECT FROM pg_database WHERE oid = %s"
        return self._admin.execute(query, (number,)).fetchone() is not None

    def _restored(self, folder: Path) -> bool:
        """Write to files what the template has, and return whether they are all there."""
        missing = set(self._contents)
        for file in os.scandir(folder):
            content = self._contents.get(file.name)
            if content is None:
                os.unlink(file)
                continue
            missing.remove(file.name)
            found = file.stat()
            if (found.st_mtime_ns, found.st_size) != (_UNTOUCHED, len(content)):
                with open(file, "r+b") as written:
                    written.write(content)
                    written.truncate()
                os.utime(file, ns=(_UNTOUCHED, _UNTOUCHED))
        return not missing
