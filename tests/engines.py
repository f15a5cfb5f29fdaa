"""What the database engines of all tests in one process share: each statement is compiled once.

A program makes one engine and compiles each of its statements once. Tests make one engine each,
and would compile everything again: a quarter of their time.
"""

from typing import Any, Final

from sqlalchemy import Engine, create_engine

_made: Final[list[Engine]] = []  # the one whose dialect and compiled statements others share


def sharing(url: Any, **options: Any) -> Engine:
    """Make an engine with a pool of its own, as `sqlalchemy.create_engine` does."""
    if not (_made and hasattr(_made[0].dialect, "server_version_info")):
        _made[:] = [create_engine(url, **options)]  # it asks the server at its first connection
        return _made[0]
    engine = create_engine(url, **options, _initialize=False)
    engine.dialect = engine.pool._dialect = _made[0].dialect
    engine._compiled_cache = _made[0]._compiled_cache
    return engine
