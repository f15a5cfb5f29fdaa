"""Usage from the command line: files that are imported, and what was counted."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.world import START, World
from tests.scenarios.metering import CATALOG


@pytest.fixture
def metered(world: World) -> World:
    """A world in which Ada uses a plan that bills usage."""
    (world.folder / "catalog" / "search.toml").write_text(CATALOG)
    assert world.run("plans", "apply", "--yes").exit_code == 0
    world.subscribed("ada", "metered")
    world.at(START + timedelta(days=10))
    return world


def line(name: str, **more: Any) -> str:
    properties = {"n": 2, "region": "eu"}
    event = {"id": name, "event": "search", "subscription": "ada-sub", "properties": properties}
    return json.dumps(event | {"at": "2026-02-03T00:00:00Z"} | more)


def written(world: World, name: str, *lines: str) -> Path:
    path = world.folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_counted_once_however_often_it_is_imported(metered: World) -> None:
    path = written(metered, "events.jsonl", *(line(f"e{n}") for n in range(1_500)))

    first = metered.json("usage", "import", str(path))
    again = metered.json("usage", "import", str(path))

    assert (first["read"], first["accepted"], first["repeated"]) == (1_500, 1_500, 0)
    assert (again["read"], again["accepted"], again["repeated"]) == (1_500, 0, 1_500)
    shown = metered.json("usage", "show", "ada-sub", "--events", "2")
    assert [(each["meter"], each["n"], each["sum"]) for each in shown["totals"]] == [
        ("searches", 0, 3000)
    ]
    assert len(shown["events"]) == 2
    by_id = metered.json("usage", "show", "ada-sub", "--id", "e17")["events"]
    assert [(each["meter"], each["value"]) for each in by_id] == [("searches", 2)]
    assert metered.json("usage", "show", "ada-sub", "--id", "e1500")["events"] == []


def test_rows_that_are_not_counted_are_told_with_their_lines(metered: World) -> None:
    path = written(
        metered, "events.jsonl", line("a"), "{", "", line("a", event="call"), line("b", at="x")
    )

    result = metered.run("usage", "import", str(path), "-o", "json")

    found = json.loads(result.stdout)
    assert result.exit_code == 3
    assert (found["accepted"], found["conflicting"], found["refused"]) == (1, 1, 2)
    assert found["rows"] == [
        {"line": 2, "id": None, "reason": "unreadable"},
        {"line": 4, "id": "a", "reason": "conflicting"},
        {"line": 5, "id": "b", "reason": "bad_time"},
    ]
    assert [(each["reason"], each["events"]) for each in found["reasons"]] == [
        ("bad_time", 1), ("conflicting", 1), ("unreadable", 1),
    ]  # fmt: skip
    assert "write at with an offset" in found["reasons"][0]["words"]


def test_a_table_has_properties_in_its_other_columns(metered: World) -> None:
    path = written(
        metered,
        "events.csv",
        "id,event,subscription,at,n,region",
        "a,search,ada-sub,2026-02-03T00:00:00Z,0.1,eu",
        'b,search,ada-sub,2026-02-03T00:00:00Z,0.2,"us"',
        "c,search,ada-sub,2026-02-03T00:00:00Z,,us",
        "d,search",
    )

    result = metered.run("usage", "import", str(path), "-o", "json")

    assert result.exit_code == 3
    assert [(row["line"], row["reason"]) for row in json.loads(result.stdout)["rows"]] == [
        (4, "bad_value"),
        (5, "unreadable"),
    ]
    assert metered.json("usage", "show", "ada-sub")["totals"][0]["sum"] == "0.3"


def test_an_event_of_a_table_is_the_one_that_was_sent_as_json(metered: World) -> None:
    table = written(
        metered, "events.csv", "id,event,subscription,at,n,region",
        "a,search,ada-sub,2026-02-03T00:00:00Z,2,eu",
    )  # fmt: skip
    lines = written(metered, "events.jsonl", line("a"))

    assert metered.json("usage", "import", str(lines))["accepted"] == 1
    assert metered.json("usage", "import", str(table))["repeated"] == 1


def test_a_dry_run_counts_nothing(metered: World) -> None:
    path = written(metered, "events.jsonl", line("a"), line("b"))

    dry = metered.json("usage", "import", str(path), "--dry-run")

    assert (dry["dry_run"], dry["accepted"]) == (True, 2)
    assert metered.json("usage", "show", "ada-sub")["totals"] == []
    assert metered.json("usage", "import", str(path))["accepted"] == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"id,id\n", "a column comes twice"), (b"\xff\n", "is not UTF-8")],
)
def test_a_file_that_cannot_be_read_is_refused(metered: World, content: bytes, says: str) -> None:
    path = metered.folder / "events.csv"
    path.write_bytes(content)

    result = metered.run("usage", "import", str(path))

    assert result.exit_code == 2
    assert says in result.stderr


def test_old_days_are_taken_out_once_somebody_agrees(metered: World) -> None:
    path = written(metered, "events.jsonl", line("a"))
    assert metered.json("usage", "import", str(path))["accepted"] == 1
    metered.at(START + timedelta(days=90))

    dry = metered.json("usage", "prune", "--dry-run")
    refused = metered.run("usage", "prune")
    short = metered.run("usage", "prune", "--keep-days", "30", "--yes")
    done = metered.json("usage", "prune", "--yes")

    assert dry == [{"day": "2026-02-03", "events": 1, "counted": 1, "dry_run": True}]
    assert (refused.exit_code, short.exit_code) == (2, 2)
    assert "accepted up to 35 days late" in short.stderr
    assert done == [{**dry[0], "dry_run": False}]
    assert metered.json("usage", "prune", "--dry-run") == []
    assert metered.json("usage", "show", "ada-sub", "--days", "400")["totals"][0]["events"] == 1
