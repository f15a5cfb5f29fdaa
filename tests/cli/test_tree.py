"""What holds for every command there is."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from billing.cli.failures import EXIT_CODES
from tests.cli.tree import commands, groups, places_for_text
from tests.cli.world import Cli
from tests.shares import share

ROOT = Path(__file__).resolve().parents[2]
CARD = "4242 4242 4242 4242"
COMMANDS = dict(commands())
PLACES = [(path, place) for path in COMMANDS for place in places_for_text(COMMANDS[path])]

# What starts something or only prints text of its own has no data.
WITHOUT_DATA = {("up",), ("scheduler",), ("worker",), ("reconciler",), ("api",), ("completion",),
                ("console",), ("db", "roles"), ("temporal", "worker")}  # fmt: skip
ASKED_FIRST = {
    ("charges", "capture"),
    ("charges", "retry"),
    ("charges", "void"),
    ("clock", "advance"),
    ("credit-notes", "create"),
    ("close", "repair-digests"),
    ("credit", "buy"),
    ("fx", "record"),
    ("invoices", "create"),
    ("invoices", "void"),
    ("keys", "revoke"),
    ("parked", "release"),
    ("plans", "apply"),
    ("refunds", "create"),
    ("subscriptions", "cancel"),
    ("subscriptions", "change"),
    ("temporal", "approve"),
    ("usage", "prune"),
}


def ids(path: tuple[str, ...]) -> str:
    return " ".join(path) if path else "billing"


@pytest.mark.parametrize("path", [(), *COMMANDS, *(path for path, _ in groups())], ids=ids)
def test_every_command_has_help(path: tuple[str, ...], cli: Cli) -> None:
    result = cli.run(*path, "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: billing")
    assert not result.stderr


def test_the_help_of_billing_names_every_exit_code(cli: Cli) -> None:
    shown = cli.run("--help").stdout.split("Exit codes:")[1]

    assert re.findall(r"^  (\d+) ", shown, re.MULTILINE) == [str(code) for code, _ in EXIT_CODES]


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - WITHOUT_DATA), ids=ids)
def test_every_command_with_data_takes_an_output_format(path: tuple[str, ...]) -> None:
    option = next(param for param in COMMANDS[path].params if param.name == "output")

    assert isinstance(option.type, click.Choice)
    assert option.type.choices == ("table", "json", "jsonl")


@pytest.mark.parametrize("path", sorted(ASKED_FIRST), ids=ids)
def test_what_lasts_can_be_tried_dry_and_is_asked_about(path: tuple[str, ...]) -> None:
    assert {"dry_run", "yes"} <= {param.name for param in COMMANDS[path].params}


@pytest.mark.parametrize("path", [(), *COMMANDS, *(path for path, _ in groups())], ids=ids)
def test_every_command_is_in_the_manual(path: tuple[str, ...]) -> None:
    manual = (ROOT / "docs" / "cli.md").read_text()

    assert re.search(rf"\bbilling {' '.join(path)}\b".replace("billing \\b", "billing\\b"), manual)


@pytest.mark.parametrize(("code", "meaning"), EXIT_CODES)
def test_every_exit_code_is_in_the_manual(code: int, meaning: str) -> None:
    assert f"| {code} | {meaning} |" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize(
    ("path", "place"),
    [*share(PLACES, 4), ((), ("--config",)), ((), ())],
    ids=lambda part: " ".join(part) or "argument",
)
@pytest.mark.parametrize("number", [CARD, CARD.replace(" ", ""), "4242-4242-4242-4242"])
def test_no_command_takes_a_card_number(
    path: tuple[str, ...], place: tuple[str, ...], number: str, cli: Cli
) -> None:
    result = cli.run(*path, *place, number)

    assert result.exit_code == 2
    assert "looks like a card number" in result.stderr
    assert "pm_..." in result.stderr
    assert "4242" not in result.output


@pytest.mark.parametrize(
    "args",
    [
        ("customers", "create", "--name", "4242", "4242", "4242", "4242"),
        ("customers", "create", "--name=4242424242424242"),
        ("4242424242424242",),
        ("customers", "create", "--4242424242424242"),
        ("customers", "set-payment-method", "ada", "card:4242424242424242"),
        ("explain", "４２４２４２４２４２４２４２４２"),  # noqa: RUF001  full-width digits
    ],
)
def test_a_card_number_is_found_however_it_is_typed(args: tuple[str, ...], cli: Cli) -> None:
    result = cli.run(*args)

    assert result.exit_code == 2
    assert "looks like a card number" in result.stderr
    assert "4242" not in result.output


def test_the_refusal_names_the_option(cli: Cli) -> None:
    result = cli.run("customers", "create", "--name", "Ada", "--payment-method", CARD)

    assert "where: --payment-method" in result.stderr


def test_a_card_number_in_the_environment_is_refused(cli: Cli) -> None:
    result = cli.run("config", "show", BILLING__REDIS__NAMESPACE="4242424242424242")

    assert result.exit_code == 2
    assert "environment, BILLING__REDIS__NAMESPACE" in result.stderr
    assert "4242" not in result.output


def test_a_card_number_in_the_configuration_is_refused(cli: Cli) -> None:
    (cli.folder / "config.toml").write_text('[redis]\nnamespace = "4242424242424242"\n')

    result = cli.run("config", "show")

    assert result.exit_code == 2
    assert "config.toml:2" in result.stderr
    assert "4242" not in result.output


def test_the_script_is_the_root_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["scripts"] == {"billing": "billing.cli:main"}


def test_help_needs_none_of_the_heavy_libraries(cli: Cli) -> None:
    """In seconds of the processor, which a busy machine doesn't prolong; it took 0.12 at first."""
    import os
    import subprocess
    import sys

    loaded = "import sys; import billing.cli.root; print(*sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert not {"sqlalchemy", "pydantic", "stripe", "redis", "dramatiq", "rich"} & set(modules)

    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "billing.cli", "--help"], capture_output=True, check=True,
            cwd=ROOT,
        )  # fmt: skip
        after = os.times()
        seconds.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "args",
    [
        ("plans", "show", "caf\udce9"),
        ("customers", "list", "--limit=\udcff"),
        ("explain", "\udc80"),
        ("--config", "caf\udce9.toml", "status"),
    ],
)
def test_arguments_that_are_no_utf_8_are_refused(args: tuple[str, ...], cli: Cli) -> None:
    result = cli.run(*args)

    assert result.exit_code == 2
    assert "no UTF-8" in result.stderr
