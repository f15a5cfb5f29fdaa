"""`billing` as a process of its own: pipes, a terminal, signals."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.world import Cli, World

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).parent / "billing"
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "billing.cli"]


def environment(cli: Cli) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLING__")}
    return {**kept, **cli.env, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def run(cli: Cli, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *args], cwd=cli.folder, env=environment(cli), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


def in_a_terminal(cli: Cli, *args: str, answer: str = "", until: str = "", **env: str) -> str:
    """Run a command on a terminal; answer its question, or send Ctrl-C when `until` is seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *args], cwd=cli.folder, env={**environment(cli), **env}, stdin=theirs,
        stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, deadline = "", time.monotonic() + 60
    while (read := _read(ours, deadline)) is not None:
        seen += read
        if answer and "[y/N]" in seen:
            os.write(ours, answer.encode())
            answer = ""
        if until and until in seen:
            _press_ctrl_c(process, ours)
            until = ""
    os.close(ours)
    return f"{seen}\nexit {process.wait(timeout=10)}"


def _press_ctrl_c(process: "subprocess.Popen[bytes]", terminal: int) -> None:
    """Press it as people do, again when nothing happens: readline misses one while it sets up."""
    for _ in range(10):
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        if select.select([terminal], [], [], 3)[0]:
            return


def _read(terminal: int, deadline: float) -> str | None:
    """Return what came next, or None at the end of it."""
    if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        return None
    try:
        return os.read(terminal, 65536).decode(errors="replace") or None
    except OSError:  # how a terminal ends on Linux
        return None


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


def test_the_module_is_the_command(cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "billing.cli", "plans", "check"],
        cwd=cli.folder, env=environment(cli), capture_output=True, text=True,
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
    watching = subprocess.Popen(
        [*COMMAND, "status", "--watch", "-o", "jsonl"],
        cwd=world.folder, env=environment(world), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    with watching.stdout:
        lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        watching.wait(timeout=10)

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

    done = subprocess.run(
        COMMAND, cwd=cli.folder, env={**environment(cli), **asked}, capture_output=True, text=True,
        timeout=30,
    )  # fmt: skip

    assert [line.split(",")[1] for line in done.stdout.splitlines()] == completed
