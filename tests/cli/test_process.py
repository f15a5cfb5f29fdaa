"""`billing` as a process of its own: pipes, a terminal, signals."""

import gc
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from billing.cli import COLLECT_AFTER, USUAL
from tests import processes
from tests.cli.world import Cli, World
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).parent / "billing"
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "billing.cli"]


def environment(cli: Cli) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLING__")}
    return {**kept, **cli.env, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def run(cli: Cli, *args: str) -> "subprocess.CompletedProcess[str]":
    return processes.run([*COMMAND, *args], cwd=cli.folder, env=environment(cli))


def in_a_terminal(cli: Cli, *args: str, answer: str = "", until: str = "", **env: str) -> str:
    """Run a command on a terminal; answer its question, or send Ctrl-C when `until` is seen."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    environ = {**environment(cli), **env}
    with (
        os.fdopen(ours, "rb+", buffering=0) as terminal,
        processes.running([*COMMAND, *args], cwd=cli.folder, env=environ, **streams) as process,
    ):
        os.close(theirs)
        seen = ""
        while read := _read(terminal.fileno()):
            seen += read
            if answer and "[y/N]" in seen:
                terminal.write(answer.encode())
                answer = ""
            if until and until in seen:
                _press_ctrl_c(process.pid, terminal.fileno())
                until = ""
        return f"{seen}\nexit {process.wait(PATIENCE)}"


def _press_ctrl_c(pid: int, terminal: int) -> None:
    """Press it as people do, again when the process does nothing: readline misses one sometimes.

    It misses one that comes when its prompt is shown and it doesn't wait for input yet.
    """
    process = psutil.Process(pid)
    while True:
        process.send_signal(signal.SIGINT)
        while True:
            used = process.cpu_times()
            if select.select([terminal], [], [], 3)[0]:
                return
            if process.status() == psutil.STATUS_SLEEPING and process.cpu_times() == used:
                break


def _read(terminal: int) -> str:
    """Return what came next, or nothing at the end of it."""
    assert select.select([terminal], [], [], PATIENCE)[0], "nothing more is said, and it runs on"
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # how a terminal ends on Linux
        return ""


def test_data_and_talk_go_different_ways(world: World) -> None:
    done = run(world, "plans", "apply", "-o", "json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["changes"] == []
    assert done.stderr == ""


def test_the_exit_code_reaches_the_shell(cli: Cli) -> None:
    done = run(cli, "status")

    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("error: the embedded PostgreSQL is not running\n  where: ")


def test_in_a_folder_without_a_configuration_it_is_the_folder_that_is_wrong(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-m", "billing.cli", "status"]
    done = processes.run(command, cwd=elsewhere, env=environment(cli))

    assert done.returncode == 4
    assert done.stderr.startswith("error: there is no config.toml here or above")
    assert "--config" in done.stderr
    assert list(elsewhere.iterdir()) == []


def test_the_configuration_of_a_folder_above_is_read(cli: Cli) -> None:
    below = cli.folder / "docs" / "notes"
    below.mkdir(parents=True)
    command = [sys.executable, "-m", "billing.cli", "plans", "check"]
    done = processes.run(command, cwd=below, env=environment(cli))

    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_is_the_command(cli: Cli) -> None:
    done = processes.run(
        [sys.executable, "-m", "billing.cli", "plans", "check"],
        cwd=cli.folder, env=environment(cli),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_is_asked(declined: World) -> None:
    cancel = ("subscriptions", "cancel", "bob-sub", "--now")

    refused = in_a_terminal(declined, *cancel, answer="n\n")
    assert "Cancel it? [y/N]" in refused
    assert refused.endswith("exit 1")
    assert declined.json("subscriptions", "show", "bob-sub")["status"] == "past_due"

    assert in_a_terminal(declined, *cancel, answer="y\n").endswith("exit 0")
    assert declined.json("subscriptions", "show", "bob-sub")["status"] == "canceled"


def test_errors_are_coloured_for_people_only(cli: Cli) -> None:
    red = "\x1b[31m"

    assert red in in_a_terminal(cli, "status")
    assert "\x1b[" not in in_a_terminal(cli, "status", NO_COLOR="1")
    assert "\x1b[" not in run(cli, "status").stderr


def test_the_status_is_watched_until_ctrl_c(world: World) -> None:
    seen = in_a_terminal(world, "status", "--watch", until="ledger sum")

    assert "exit 0" in seen
    assert "Traceback" not in seen


def test_a_question_ends_with_ctrl_c(declined: World) -> None:
    seen = in_a_terminal(declined, "subscriptions", "cancel", "bob-sub", "--now", until="[y/N]")

    assert seen.endswith("exit 130")
    assert "Traceback" not in seen


def test_the_status_is_streamed_as_lines(world: World) -> None:
    with processes.running(
        [*COMMAND, "status", "--watch", "-o", "jsonl"],
        cwd=world.folder, env=environment(world), stdout=subprocess.PIPE,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        watching.wait(PATIENCE)

    assert lines[0]["wall"] < lines[1]["wall"]
    assert watching.returncode == 0


@pytest.mark.parametrize(
    ("typed", "word", "completed"),
    [
        ("billing ch", 1, ["charges"]),
        ("billing charges ", 2, ["capture", "explain", "list", "retry", "show", "void"]),
        ("billing charges list --st", 3, ["--state"]),
        ("billing charges list --state cap", 4, ["captured"]),
        ("billing status -o js", 3, ["json", "jsonl"]),
    ],
)
def test_the_shell_completes(typed: str, word: int, completed: list[str], cli: Cli) -> None:
    asked = {
        "_BILLING_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(word),
    }

    done = processes.run(COMMAND, cwd=cli.folder, env={**environment(cli), **asked})

    assert [line.split(",")[1] for line in done.stdout.splitlines()] == completed


LOOKUPS = (
    ("customers", "list"),
    ("plans", "show"),
    ("charges", "list"),
    ("explain", "ada-sub"),
    ("subscriptions", "show", "ada-sub"),
    ("subscriptions", "timeline", "ada-sub"),
    ("customers", "show", "ada"),
    ("invoices", "list"),
)


@pytest.mark.parametrize("args", LOOKUPS, ids=lambda args: " ".join(args))
def test_a_look_up_loads_nothing_that_it_does_not_need(paid: World, args: tuple[str, ...]) -> None:
    """Half of the time of a look-up was the loading of libraries that it never used."""
    loaded = loaded_by(paid, *args)

    assert UNNEEDED & loaded == set()
    # Changes and ends of subscriptions are commands of that group, in files of their own.
    own = {args[0], "changes", "endings"} if args[0] == "subscriptions" else {args[0]}
    assert within("billing.cli.commands", loaded) == own


def test_status_loads_what_asks_the_queue_and_the_processes_and_no_more(paid: World) -> None:
    assert UNNEEDED & loaded_by(paid, "status") == {"dramatiq", "redis", "psutil"}


def test_a_record_without_a_decision_is_shown_without_what_makes_its_sentence(paid: World) -> None:
    loaded = loaded_by(paid, "invoices", "list", "-o", "json")

    assert within("billing.presenters", loaded) == set()


UNNEEDED = {
    "alembic", "billing.api", "billing.flows.payments", "billing.gateway", "braintree", "dramatiq",
    "fastapi", "grpc", "prometheus_client", "psutil", "redis", "requests", "rich",
    "sqlalchemy.orm", "stripe", "structlog", "temporalio", "urllib3", "uvicorn",
}  # fmt: skip


def within(package: str, loaded: set[str]) -> set[str]:
    """Return the modules of a package that are among those loaded, by their own names."""
    return {name.removeprefix(f"{package}.") for name in loaded if name.startswith(f"{package}.")}


def loaded_by(world: World, *args: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    program = (
        "import atexit, sys; from billing.cli.root import root;"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr));"
        "root.main(sys.argv[1:])"
    )
    done = processes.run(
        [sys.executable, "-c", program, *args],
        cwd=world.folder,
        env=environment(world),
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_a_short_command_seldom_looks_for_garbage_and_a_role_as_often_as_python_does() -> None:
    program = (
        "import gc, billing.cli as cli, billing.cli.root as module;"
        "seen = [gc.get_threshold()];"
        "module.root = lambda **_: seen.append(gc.get_threshold());"
        "cli.main(); cli.collect_as_usual();"
        "print(seen[1][0], gc.get_threshold() == seen[0])"
    )
    done = processes.run([sys.executable, "-c", program], cwd=ROOT)

    assert (done.stdout, done.returncode) == (f"{COLLECT_AFTER} True\n", 0), done.stderr


def test_nothing_is_looked_for_in_memory_that_the_system_takes_back(cli: Cli) -> None:
    """Python's last search for garbage was a third of a look-up's time."""
    program = (
        "import atexit, gc, sys;"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0, file=sys.stderr));"
        "import billing.cli as cli; sys.argv = ['billing', 'config', 'show']; cli.main()"
    )
    done = processes.run([sys.executable, "-c", program], cwd=cli.folder, env=environment(cli))

    assert (done.stderr, done.returncode) == ("True\n", 0)


def test_a_role_looks_for_garbage_as_often_as_python_does(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "billing.workers.roles.run_role", lambda *_: seen.append(gc.get_threshold())
    )
    gc.set_threshold(COLLECT_AFTER)
    try:
        for role in ("scheduler", "worker", "reconciler"):
            assert cli.run(role).exit_code == 0
            gc.set_threshold(COLLECT_AFTER)
    finally:
        gc.set_threshold(*USUAL)

    assert seen == [USUAL] * 3


def test_at_a_terminal_ids_are_short_and_columns_fit(paid: World) -> None:
    (payment,) = paid.json("charges", "list")

    narrow = in_a_terminal(paid, "charges", "list", COLUMNS="80")
    wide = in_a_terminal(paid, "charges", "list", "--wide", COLUMNS="80")

    assert payment["id"][:8] in narrow
    assert payment["id"] not in narrow
    (line,) = [row for row in narrow.splitlines() if payment["id"][:8] in row]
    assert len(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()) <= 80
    assert "--wide shows all" in narrow
    assert payment["id"] in wide
    assert "--wide shows all" not in wide
    assert "\x1b[1mID" in wide
    assert "\x1b" not in in_a_terminal(paid, "charges", "list", TERM="dumb")
    assert paid.json("charges", "show", payment["id"][:8])["id"] == payment["id"]
