"""`billing init`, `billing doctor` and completion."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from billing.config import load_settings
from billing.plans.load import load_catalog
from tests.cli.world import Cli, World


def looked(world: Cli, **env: str) -> tuple[int, dict[str, tuple[str, str, str | None]]]:
    result = world.run("doctor", "-o", "json", **env)
    found = {
        each["check"]: (each["result"], each["words"], each["remedy"])
        for each in json.loads(result.stdout)
    }
    return result.exit_code, found


def test_init_writes_what_the_engine_reads(cli: Cli) -> None:
    settings = load_settings(cli.folder / "config.toml", {})
    catalog = load_catalog(settings.plans.catalog)

    assert settings == load_settings(cli.folder / "config.toml", {})
    assert list(catalog.plans) == ["example-monthly"]
    assert cli.run("plans", "check").exit_code == 0


def test_init_says_nothing_that_isn_t_the_default(cli: Cli) -> None:
    """What the file shows as settings are the defaults: nobody depends on having run init."""
    written = load_settings(cli.folder / "config.toml", {}).show()
    (cli.folder / "empty.toml").write_text("")

    assert written == load_settings(cli.folder / "empty.toml", {}).show()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "config.toml").write_text("# mine\n")

    result = cli.json("init")

    assert (tmp_path / "config.toml").read_text() == "# mine\n"
    assert [each["written"] for each in result] == [False, True]


def test_init_makes_the_folder(tmp_path: Path) -> None:
    assert Cli(tmp_path).run("init", "a/b").exit_code == 0
    assert (tmp_path / "a/b/plans/catalog/example.toml").exists()


def test_init_tells_when_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = Cli(tmp_path).run("init", "file/inside")

    assert result.exit_code in (1, 2)
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_healthy_engine_is_found_healthy(world: World) -> None:
    code, found = looked(world)

    assert code == 0
    assert list(found) == [
        "configuration", "catalog", "database", "schema", "write access", "Redis", "provider",
        "clock",
    ]  # fmt: skip
    assert {result for result, _, _ in found.values()} == {"ok"}


def test_every_account_at_a_provider_is_looked_at(world: World) -> None:
    another = {
        "BILLING__PROVIDERS__NORDIC__KIND": "stripe",
        "BILLING__PROVIDERS__NORDIC__API_KEY": "sk_test_nordic",
        "BILLING__PROVIDERS__NORDIC__API_BASE": "http://127.0.0.1:1",
    }

    code, found = looked(world, **another)

    assert code == 4
    assert (found["provider stripe"][0], found["provider nordic"][0]) == ("ok", "unavailable")


def test_looking_leaves_no_trace(world: World) -> None:
    looked(world)

    assert world.json("status")["tasks"] == []


@pytest.mark.parametrize(
    ("broken", "code", "result", "env"),
    [
        ("Redis", 4, "unavailable", {"BILLING__REDIS__URL": "redis://127.0.0.1:1/0"}),
        (
            "provider",
            4,
            "unavailable",
            {"BILLING__PROVIDERS__STRIPE__API_BASE": "http://127.0.0.1:1"},
        ),
        ("database", 4, "unavailable", {"BILLING__DATABASE__URL": "postgresql://x@127.0.0.1:1/x"}),
        ("schema", 3, "problem", {"BILLING__DATABASE__ROLE": "nobody_here"}),
        ("catalog", 3, "problem", {"BILLING__PLANS__CATALOG": "nowhere"}),
        ("configuration", 3, "problem", {"BILLING__SCHEDULER__TICK": "soon"}),
    ],
)
def test_what_is_broken_is_named_with_a_remedy(
    broken: str, code: int, result: str, env: dict[str, str], world: World
) -> None:
    exit_code, found = looked(world, **env)

    assert exit_code == code
    assert found[broken][0] == result
    assert found[broken][2]
    others = {name: each[0] for name, each in found.items() if name != broken}
    assert set(others.values()) <= {"ok", "skipped"}


def test_a_role_that_may_rewrite_the_ledger_is_a_problem(world: World) -> None:
    code, found = looked(world, BILLING__DATABASE__ROLE="perennial")

    assert code == 3
    assert found["write access"][0] == "problem"
    assert "billing_app" in (found["write access"][2] or "")


def test_an_old_schema_is_a_problem(world: World, db_url: str) -> None:
    with psycopg.connect(db_url) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '0001'")

    code, found = looked(world)

    assert (code, found["schema"][0], found["clock"][0]) == (3, "problem", "skipped")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_billing(shell: str, cli: Cli) -> None:
    script = cli.run("completion", shell)

    assert script.exit_code == 0
    assert "_BILLING_COMPLETE" in script.stdout


def test_the_bash_script_is_bash(cli: Cli) -> None:
    script = cli.run("completion", "bash").stdout

    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("command", [("status",), ("up",), ("db", "migrate"), ("worker",)])
def test_embedded_servers_are_refused_in_live_mode(command: tuple[str, ...], cli: Cli) -> None:
    live = {"BILLING__MODE": "live", "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_live_of_nobody"}

    result = cli.run(*command, **live)

    assert result.exit_code == 2
    assert "not for live mode" in result.stderr
    assert not (cli.folder / ".perennial" / "postgres.json").exists()


def test_the_sql_of_the_roles_names_what_the_url_names(cli: Cli) -> None:
    url = "postgresql://ow%22ner:secret@db.example/shop"

    printed = cli.run("db", "roles", "--login", "engine", BILLING__DATABASE__URL=url)

    assert printed.exit_code == 0
    assert 'GRANT CONNECT, CREATE ON DATABASE "shop" TO "ow""ner";' in printed.stdout
    assert 'GRANT "billing_app" TO "engine";' in printed.stdout
    assert "secret" not in printed.output
    assert cli.run("db", "roles").exit_code == 2, "the embedded database has its roles"


def test_triggers_that_a_restore_of_rows_disabled_are_told_and_put_back(
    world: World, db_url: str
) -> None:
    with psycopg.connect(db_url) as owner:
        owner.execute("ALTER TABLE ledger.postings DISABLE TRIGGER ALL")
        owner.execute("ALTER TABLE payments DISABLE TRIGGER ALL")
        owner.execute("ALTER TABLE payments ENABLE TRIGGER ALL")

    code, found = looked(world)
    result, words, remedy = found["write access"]
    assert (code, result) == (3, "problem")
    assert "2 table(s)" in words
    assert remedy is not None
    assert "db migrate" in remedy

    assert world.json("db", "migrate")["guarded"] == ["ledger.postings", "public.payments"]
    assert world.run("doctor").exit_code == 0
    assert world.json("db", "migrate")["guarded"] == []
