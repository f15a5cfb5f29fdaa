"""`billing keys` and `billing audit`."""

from pathlib import Path

import pytest

from billing.flows.service.api_keys import Scope
from tests.cli.world import World


@pytest.fixture
def cli(tmp_path: Path, db_url: str) -> World:
    """Commands on a migrated database; no provider is asked."""
    (tmp_path / "config.toml").write_text('mode = "sandbox"\n')
    return World(tmp_path, {"BILLING__DATABASE__URL": db_url})


def test_a_key_may_have_every_scope(cli: World) -> None:
    made = cli.json("keys", "create", "all", *(word for s in Scope for word in ("--scope", s)))

    assert made["scopes"] == sorted(Scope)


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(cli: World) -> None:
    made = cli.json("keys", "create", "shop", "--scope", "read", "--scope", "charge")
    listed = cli.json("keys", "list")
    secret = made["key"].split("_")[2]

    asked = cli.run("keys", "revoke", made["id"])
    dry = cli.run("keys", "revoke", made["id"], "--dry-run")
    still = cli.json("keys", "list")[0]["revoked_at"]
    done = cli.run("keys", "revoke", made["id"], "--yes", "--reason", "it leaked")
    twice = cli.run("keys", "revoke", made["id"], "--yes")

    assert made["key"].startswith(f"perennial_{made['id']}_")
    assert listed[0]["scopes"] == ["charge", "read"]
    assert secret not in str(listed)
    assert (asked.exit_code, dry.exit_code, still) == (2, 0, None)
    assert (done.exit_code, twice.exit_code) == (0, 2)
    assert cli.json("keys", "list")[0]["revoked_at"] is not None


def test_who_made_and_revoked_a_key_is_in_the_audit_log(cli: World) -> None:
    made = cli.json("keys", "create", "shop", "--scope", "admin", "--reason", "opening")
    cli.run("keys", "revoke", made["id"], "--yes", "--reason", "closing")

    lines = cli.json("audit", "list", "--subject", made["id"])

    assert [(line["action"], line["why"]) for line in lines] == [
        ("key.revoke", "closing"),
        ("key.create", "opening"),
    ]
    assert all(line["actor"].startswith("cli") for line in lines)
    assert made["key"].split("_")[2] not in str(lines)
    assert cli.json("audit", "list", "--limit", "1", "--after", str(lines[0]["id"])) == lines[1:]


@pytest.mark.parametrize(
    "args",
    [
        ("create", "shop"),
        ("create", "Shop!", "--scope", "read"),
        ("create", "shop", "--scope", "everything"),
        ("revoke", "unknown", "--yes"),
    ],
)
def test_a_wrong_key_command_is_refused(args: tuple[str, ...], cli: World) -> None:
    result = cli.run("keys", *args)

    assert result.exit_code == 2
    assert result.stderr.startswith("error:")


def test_in_live_mode_no_key_is_made_without_a_pepper(cli: World) -> None:
    result = cli.run("keys", "create", "shop", "--scope", "read", BILLING__MODE="live")

    assert result.exit_code == 2
    assert "BILLING__API__PEPPER_FILE" in result.stderr
