"""`billing recover`, as docs/operations.md tells to use it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from billing.cli.failures import OK, UNAVAILABLE
from tests.cli.world import World
from tests.conftest import Admin

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SECTION = PAGE.partition("### The database is behind the provider\n")[2].partition("\n### ")[0]
COMMANDS = re.search(r"```\n(.*?)```", SECTION, re.DOTALL)
LATER = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def behind(world: World, admin: Admin, apart: None, db_url: str) -> Iterator[World]:
    """One customer paid in February and one couldn't; the database of before that."""
    world.subscribed("ada", "video-basic")
    world.subscribed("bob", "video-trial", card="pm_card_chargeCustomerFail")
    world.at(datetime(2026, 1, 31, 9, 0, tzinfo=UTC))
    world.reconcile()
    name = make_url(db_url).database
    assert name is not None
    copy = f"{name}_backup"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(create.format(sql.Identifier(copy), sql.Identifier(name)))
    world.at(LATER)
    url = make_url(db_url).set(database=copy).render_as_string(hide_password=False)
    world.env["BILLING__DATABASE__URL"] = url
    world.at(LATER)
    yield world
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(copy)))


def captures(world: World) -> int:
    return len(world.json("charges", "list", "--state", "captured"))


def test_the_steps_of_the_page_recover(behind: World) -> None:
    assert COMMANDS is not None
    commands = [line.split() for line in COMMANDS[1].splitlines()]
    assert [command[1] for command in commands] == ["status", "recover", "recover"]
    before = captures(behind)
    told = ""
    for command in commands:
        result = behind.run(*command[1:])
        assert result.exit_code == OK, result.output
        told += result.stderr
    assert "every promise holds" in told
    assert captures(behind) == before + 1
    assert behind.json("status")["providers"][0]["state"] == "open"


def test_status_says_what_is_missing(behind: World) -> None:
    (account,) = behind.json("status")["providers"]
    assert (account["state"], account["cause"]) == ("recovering", "behind")
    assert account["evidence"]["kind"] == "payment"
    assert "RECOVERING" in behind.run("status").stdout


def test_a_preview_lists_each_object_and_changes_nothing(behind: World) -> None:
    planned = behind.json("recover", "--dry-run")
    assert sorted((row["kind"], row["result"], row["amount"]) for row in planned) == [
        ("payment", "adopt", 999),
        ("payment", "adopt", 1999),
    ]
    assert behind.json("recover", "--dry-run") == planned


def test_where_nothing_is_missing_it_says_so(world: World) -> None:
    world.subscribed("ada", "video-basic")
    result = world.run("recover", "--yes")
    assert result.exit_code == OK
    assert "nothing is to be recovered" in result.stderr


def test_other_commands_refuse_and_name_it(behind: World) -> None:
    payment = behind.json("charges", "list")[0]["id"]
    result = behind.run("refunds", "create", payment, "--yes")
    assert result.exit_code == UNAVAILABLE
    assert "billing recover" in result.stderr
    assert behind.run("reconcile", "run").exit_code == UNAVAILABLE
