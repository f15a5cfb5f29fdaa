"""Each family of errors: its exit code, its words, its remedy, and never a traceback."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from click.testing import Result
from psycopg import sql

from billing.cli import status_figures
from tests.cli.world import Cli, World

if TYPE_CHECKING:
    from billing.embedded.servers import EmbeddedPostgres
    from tests.conftest import Admin

NOBODY = "postgresql://somebody:secret@127.0.0.1:1/billing"
READS = [
    ("status",),
    ("plans", "show"),
    ("plans", "diff"),
    ("customers", "list"),
    ("subscriptions", "list"),
    ("charges", "list"),
    ("invoices", "list"),
    ("parked", "list"),
    ("breaks", "list"),
    ("ledger", "verify"),
    ("ledger", "trial-balance"),
    ("ledger", "account", "receivable"),
    ("prove",),
    ("clock", "show"),
    ("explain", "ada"),
    ("db", "status"),
    ("db", "migrate"),
    ("scheduler",),
    ("reconciler",),
]


def assert_told(result: Result, exit_code: int, *words: str) -> None:
    assert result.exit_code == exit_code, result.output
    assert "error: " in result.stderr
    assert "Traceback" not in result.output
    for each in words:
        assert each in result.stderr


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_without_a_database_a_command_says_so(args: tuple[str, ...], cli: Cli) -> None:
    result = cli.run(*args, BILLING__DATABASE__URL=NOBODY)

    assert_told(result, 4, "the database does not answer", "remedy: ")
    assert "secret" not in result.output


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_without_embedded_servers_a_command_says_how_to_start_them(
    args: tuple[str, ...], cli: Cli
) -> None:
    assert_told(cli.run(*args), 4, "PostgreSQL is not running", "billing up")


@pytest.fixture
def empty_db(pg_server: "EmbeddedPostgres", admin: "Admin") -> str:
    name = f"empty_{uuid4().hex[:8]}"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return pg_server.url(name)


@pytest.mark.parametrize("args", READS[:15], ids=" ".join)
def test_a_database_without_a_schema_is_not_touched(
    args: tuple[str, ...], cli: Cli, empty_db: str
) -> None:
    result = cli.run(*args, BILLING__DATABASE__URL=empty_db)

    assert_told(result, 5, "no billing schema", "billing db migrate")


def test_the_schema_is_brought_forward_once(cli: Cli, empty_db: str) -> None:
    env = {"BILLING__DATABASE__URL": empty_db}
    before = cli.run("db", "status", "-o", "jsonl", **env)
    first = cli.json("db", "migrate", **env)
    second = cli.json("db", "migrate", **env)

    assert before.exit_code == 5
    assert (first["before"], first["changed"], second["changed"]) == (None, True, False)
    assert cli.json("db", "status", **env)["known"] is True


def test_a_newer_schema_is_refused(world: World, db_url: str) -> None:
    with psycopg.connect(db_url) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '9999'")

    assert_told(world.run("status"), 5, "at revision 9999")
    assert world.run("db", "status").exit_code == 5


def test_a_role_that_can_t_be_had_is_told_apart_from_a_server_that_is_down(world: World) -> None:
    result = world.run("status", BILLING__DATABASE__ROLE="nobody_here")

    assert_told(result, 5, '"nobody_here"', "where: [database] role", "grant it")


def test_without_redis_the_status_is_shown_and_says_so(world: World) -> None:
    shown = world.json("status", BILLING__REDIS__URL="redis://127.0.0.1:1/0")

    assert shown["queue"]["messages"] is None
    assert "Connection refused" in shown["queue"]["error"]
    assert (
        "Redis is down" in world.run("status", BILLING__REDIS__URL="redis://127.0.0.1:1/0").stdout
    )


def test_without_a_provider_a_customer_can_be_made_later(world: World) -> None:
    create = ("customers", "create", "--name", "Ada", "--external-id", "ada")

    result = world.run(*create, BILLING__PROVIDERS__STRIPE__API_BASE="http://127.0.0.1:1")

    assert_told(result, 4, "remedy: ")
    assert world.run(*create).exit_code == 0


def test_a_bad_configuration_is_told_with_its_place(cli: Cli) -> None:
    (cli.folder / "config.toml").write_text('mode = "sandbox"\n\n[scheduler]\ntik = "1s"\n')

    assert_told(cli.run("status"), 2, "'tik'", "config.toml:4", "did you mean tick?")


def test_every_problem_of_the_configuration_is_told(cli: Cli) -> None:
    (cli.folder / "config.toml").write_text('[scheduler]\ntik = "1s"\nbatch = 0\n')

    assert_told(cli.run("status"), 2, "2 problems", "tik", "batch")


def test_a_missing_configuration_is_told(cli: Cli) -> None:
    assert_told(cli.run("--config", "other.toml", "status"), 2, "other.toml")


BAD_CATALOG = """\
product = "Video"

[[plan]]
code = "video"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = 9.99 }
  evry = "1 week"
"""


@pytest.mark.parametrize("args", [("plans", "check"), ("plans", "diff"), ("plans", "apply")])
def test_every_mistake_of_the_catalog_is_told_with_its_line(
    args: tuple[str, ...], world: World
) -> None:
    (world.folder / "catalog" / "bad.toml").write_text(BAD_CATALOG)

    result = world.run(*args)

    assert_told(result, 2, "bad.toml:9: plan.version.price.USD", "bad.toml:10", "'every'")
    assert result.stderr.count("remedy: ") == 2


def test_the_mistakes_of_a_catalog_are_data_in_json(cli: Cli) -> None:
    (cli.folder / "plans/catalog/bad.toml").write_text(BAD_CATALOG)

    result = cli.run("plans", "check", "-o", "jsonl")

    import json

    problems = json.loads(result.stdout)["problems"]
    assert result.exit_code == 2
    assert [(problem["line"], problem["key"]) for problem in problems] == [
        (9, "plan.version.price.USD"),
        (10, "plan.version.evry"),
    ]


@pytest.mark.parametrize(
    "args",
    [
        ("customers", "show"),
        ("customers", "set-payment-method", "{}", "pm_card_visa"),
        ("subscribe", "{}", "video-basic"),
        ("subscriptions", "show"),
        ("subscriptions", "cancel", "{}", "--now", "--yes"),
        ("subscriptions", "pause"),
        ("subscriptions", "resume"),
        ("subscriptions", "timeline"),
        ("subscriptions", "list", "--customer"),
        ("charges", "show"),
        ("charges", "retry"),
        ("charges", "explain"),
        ("charges", "list", "--subscription"),
        ("invoices", "show"),
        ("parked", "show"),
        ("parked", "release", "{}", "--yes"),
        ("breaks", "show"),
        ("explain",),
        ("ledger", "account", "receivable", "--customer"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "unknown", ["nobody", "018f0000-0000-7000-8000-0000000000ff", "0123456789ab"]
)
def test_an_unknown_id_is_told_with_where_to_look(
    args: tuple[str, ...], unknown: str, world: World
) -> None:
    filled = [arg.format(unknown) for arg in args]
    if unknown not in filled:
        filled.append(unknown)

    result = world.run(*filled)

    assert_told(result, 2, f"{unknown!r}", "remedy: `billing ")


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("subscripton",), "subscriptions"),
        (("charges", "lst"), "list"),
        (("subscriptions", "list", "--stauts", "active"), "--status"),
        (("subscriptions", "list", "--status", "cancelled"), "canceled"),
        (("charges", "list", "--state", "captrued"), "CAPTURED"),
        (("invoices", "list", "--status", "payed"), "paid"),
        (("breaks", "list", "--kind", "duplicate"), "duplicate_charge"),
        (("ledger", "account", "recievable"), "receivable"),
        (("status", "-o", "jsn"), "json"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else part,
)
def test_a_near_miss_is_told_what_was_meant(args: tuple[str, ...], meant: str, cli: Cli) -> None:
    assert_told(cli.run(*args), 2, f"{meant}'", "--help`")


@pytest.mark.parametrize(
    "args",
    [("subscribe", "ada", "video-basci"), ("plans", "show", "video-basci")],
    ids=" ".join,
)
def test_a_near_miss_of_a_plan_is_told_what_was_meant(args: tuple[str, ...], paid: World) -> None:
    assert_told(paid.run(*args), 2, "Did you mean 'video-basic'?", "billing plans show")


def test_an_unexpected_error_is_one_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr(status_figures, "queue", broken)

    assert_told(world.run("status"), 70, "ZeroDivisionError: by zero\n", "run with --debug")
    assert "Traceback" in world.run("--debug", "status").stderr


def test_an_interrupt_is_told_apart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status_figures, "queue", interrupted)

    assert_told(world.run("status"), 130, "interrupted")


def test_a_reader_that_leaves_is_no_error(cli: Cli) -> None:
    """`billing ... | head -1` ends quietly."""
    command = f"{sys.executable} -m billing.cli config show -o json | head -c 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )

    assert done.stdout == "{"
    assert "Traceback" not in done.stderr
