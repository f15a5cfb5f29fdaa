"""The supervisor: order, restarts, stopping, and nothing left when it is killed itself."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from billing.config import ApiSettings, load_settings
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from billing.errors import Unavailable
from billing.workers.up.child_output import ChildOutput
from billing.workers.up.child_spec import ChildSpec, Pauses, embedded_child, http_ready
from billing.workers.up.state_file import read_status
from billing.workers.up.supervisor import Supervisor
from billing.workers.up.up import ports, readable
from tests import processes
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUICK = Pauses(first=0.05, longest=0.2, steady=60)

WAIT = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True));"
    "print('up', flush=True); time.sleep(600)"
)

PROGRAMS = {"wait": WAIT, "stubborn": STUBBORN}


def python(name: str, program: str, **options: object) -> ChildSpec:
    command = [sys.executable, "-c", program]
    options = {"ready_timeout": PATIENCE, "stop_timeout": PATIENCE, **options}
    return ChildSpec(name=name, command=command, **options)  # type: ignore[arg-type]


@contextmanager
def supervised(*specs: ChildSpec, **options: object) -> Iterator[tuple[Supervisor, io.StringIO]]:
    said = io.StringIO()
    options = {"wall": lambda: NOON, "echo": said, "pauses": QUICK, **options}
    with Supervisor(specs, **options) as supervisor:  # type: ignore[arg-type]
        yield supervisor, said


def pump_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    def pumped() -> bool:
        supervisor.pump()
        return condition()

    until(pumped)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids(supervisor: Supervisor) -> dict[str, int]:
    return {status.name: status.pid for status in supervisor.status() if status.pid is not None}


def test_a_child_starts_when_those_before_it_are_ready(tmp_path: Path) -> None:
    mark = tmp_path / "ready"
    slowly = f"import time; time.sleep(0.3); open({str(mark)!r}, 'w'); {WAIT}"
    first = python("first", slowly, ready=mark.exists)
    look = f"import os; print(os.path.exists({str(mark)!r}), flush=True); {WAIT}"
    second = python("second", look)

    with supervised(first, second) as (supervisor, said):
        supervisor.start()
        until(lambda: "second     | True\n" in said.getvalue())


def test_a_fallen_child_is_started_again_and_the_others_are_left_alone() -> None:
    with supervised(python("one", WAIT), python("two", WAIT)) as (supervisor, said):
        supervisor.start()
        before = pids(supervisor)
        os.kill(before["one"], signal.SIGKILL)

        pump_until(supervisor, lambda: pids(supervisor).get("one") not in (None, before["one"]))

        assert pids(supervisor)["two"] == before["two"]
        one = supervisor.status()[0]
        assert (one.restarts, one.last_exit) == (1, "killed by SIGKILL")
        assert "supervisor | one: killed by SIGKILL; next start in" in said.getvalue()


def test_pauses_double_up_to_the_longest_and_are_jittered() -> None:
    pauses = Pauses(first=1.0, longest=8.0)

    for failures, whole in ((1, 1.0), (2, 2.0), (4, 8.0), (5, 8.0), (5000, 8.0)):
        assert whole / 2 <= pauses.before(failures) <= whole
    assert len({pauses.before(3) for _ in range(20)}) > 1


def test_a_healthy_while_forgives_earlier_failures() -> None:
    forgiving = Pauses(first=0.05, longest=0.2, steady=0.1)
    with supervised(python("one", WAIT), pauses=forgiving) as (supervisor, _):
        supervisor.start()
        for restarts in (1, 2, 3, 4, 5, 6):
            os.kill(pids(supervisor)["one"], signal.SIGKILL)
            pump_until(supervisor, lambda n=restarts: supervisor.status()[0].restarts == n)  # type: ignore[misc]
        pump_until(supervisor, lambda: supervisor._children[0].failures == 0)


def test_a_child_that_never_comes_up_ends_the_start_with_its_reason() -> None:
    broken = python(
        "broken", "import sys; print('port 1 is taken'); sys.exit(3)", ready=lambda: False
    )
    after = python("after", WAIT)

    with supervised(broken, after, failures_max=3) as (supervisor, _):
        with pytest.raises(Unavailable, match="exit code 3; port 1 is taken"):
            supervisor.start()
        assert "after" not in pids(supervisor)


def test_a_child_that_is_not_ready_in_time_is_started_again() -> None:
    slow = python("slow", WAIT, ready=lambda: False, ready_timeout=0.1)

    with (
        supervised(slow, failures_max=2) as (supervisor, _),
        pytest.raises(Unavailable, match=r"not ready within 0\.1 s"),
    ):
        supervisor.start()


def test_children_are_stopped_in_reverse_each_after_the_other_has_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = """
import signal, sys, time
def leave(*_):
    with open({log!r}, "a") as file:
        print("{name} leaves", file=file)
        file.flush(); time.sleep(0.1)
        print("{name} left", file=file)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open({mark!r}, "w")
while True: time.sleep(600)
"""
    specs = []
    for name in ("one", "two", "three"):
        mark = tmp_path / name
        source = program.format(log=str(log), mark=str(mark), name=name)
        specs.append(python(name, source, ready=mark.exists))

    with supervised(*specs) as (supervisor, _):
        supervisor.start()

    assert log.read_text().splitlines() == [
        f"{name} {verb}" for name in ("three", "two", "one") for verb in ("leaves", "left")
    ]


def test_a_child_that_ignores_the_request_is_killed_with_its_helpers(tmp_path: Path) -> None:
    mark = tmp_path / "helper"
    program = (
        "import subprocess, sys;"
        f"helper = subprocess.Popen([sys.executable, '-c', {WAIT!r}]);"
        f"open({str(mark)!r}, 'w').write(str(helper.pid));" + STUBBORN
    )
    stubborn = python(
        "stubborn",
        program,
        stop_timeout=0.2,
        ready=lambda: mark.exists() and mark.read_text() != "",
    )

    with supervised(stubborn) as (supervisor, said):
        supervisor.start()
        until(lambda: "stubborn   | up" in said.getvalue())
        pid = pids(supervisor)["stubborn"]

    assert gone(pid)
    until(lambda: gone(int(mark.read_text())))
    assert "using more force" in said.getvalue()


def test_output_goes_to_the_stream_with_a_prefix_and_to_a_file_without(tmp_path: Path) -> None:
    talker = python("talker", f"print('hello'); import sys; sys.stdout.flush(); {WAIT}")

    with supervised(talker, log_dir=tmp_path / "logs") as (supervisor, said):
        supervisor.start()
        until(lambda: "talker     | hello\n" in said.getvalue())

    assert (tmp_path / "logs" / "talker.log").read_text() == "hello\n"


def test_a_flood_of_output_does_not_stop_a_child(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    program = f"print('x' * 3_000_000, flush=True); open({str(mark)!r}, 'w'); {WAIT}"

    with supervised(python("talker", program)) as (supervisor, _):
        supervisor.start()
        until(mark.exists)  # while nobody pumps


def test_the_state_file_says_what_runs_and_goes_when_nothing_does(tmp_path: Path) -> None:
    file = tmp_path / "supervisor.json"
    with supervised(python("one", WAIT), state_file=file) as (supervisor, _):
        supervisor.start()
        status = read_status(file)
        assert status == supervisor.status()
        assert status is not None
        assert (status[0].name, status[0].state, status[0].restarts) == ("one", "ready", 0)
        assert status[0].since == "2026-03-01T12:00:00+00:00"

    assert read_status(file) is None


def test_a_state_file_of_a_process_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "supervisor.json"
    for pid, created in ((2**22 - 3, 0.0), (os.getpid(), 1.0)):
        file.write_text(json.dumps({"pid": pid, "created": created, "children": []}))
        assert read_status(file) is None


PARENT = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from billing.workers.up.child_output import ChildOutput
from billing.workers.up.child_spec import ChildSpec
from billing.workers.up.supervisor import Supervisor
from billing.workers.up.up import ports, readable
names = sys.argv[2].split(",")
programs = json.loads(sys.argv[3])
children = [
    ChildSpec(name=name, command=[sys.executable, "-c", programs[name]], stop_timeout=600)
    for name in names
]
supervisor = Supervisor(
    children, wall=lambda: datetime(2026, 3, 1, tzinfo=UTC), state_file=Path(sys.argv[1])
)
supervisor.run(on_ready=lambda: print("ready", flush=True))
print("stopped", flush=True)
"""


@contextmanager
def running(tmp_path: Path, names: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A supervisor in a process of its own, and its children's pids."""
    file = tmp_path / "supervisor.json"
    with processes.running(
        [sys.executable, "-c", PARENT, str(file), names, json.dumps(PROGRAMS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        until(lambda: all(child.pid for child in read_status(file) or []))
        yield parent, [child.pid or 0 for child in read_status(file) or []]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_good_order(tmp_path: Path, signum: signal.Signals) -> None:
    with running(tmp_path, "wait") as (parent, children):
        parent.send_signal(signum)
        out, _ = parent.communicate(timeout=PATIENCE)

    assert (parent.returncode, out) == (0, "stopped\n")
    assert all(gone(pid) for pid in children)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with running(tmp_path, "wait,stubborn") as (parent, children):
        assert parent.stderr is not None
        assert "up" in parent.stderr.readline()
        parent.send_signal(signal.SIGINT)
        assert "no" in parent.stderr.readline()
        assert parent.poll() is None
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=PATIENCE)

    assert parent.returncode == 0
    assert all(gone(pid) for pid in children)


def test_kill_9_of_the_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    with running(tmp_path, "wait,stubborn") as (parent, children):
        assert len(children) == 2
        parent.kill()

    until(lambda: all(gone(pid) for pid in children))
    assert read_status(tmp_path / "supervisor.json") is None


def test_embedded_servers_come_back_on_their_ports(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path, durable=False)
    valkey = EmbeddedValkey(tmp_path, durable=False)
    try:
        postgres.prepare()
        valkey.prepare()
        with supervised(embedded_child(postgres), embedded_child(valkey)) as (supervisor, _):
            supervisor.start()
            urls = postgres.url(), valkey.url
            with psycopg.connect(postgres.url()) as conn:
                conn.execute("CREATE TABLE kept (number int)")
            for name in ("postgres", "valkey"):
                os.kill(pids(supervisor)[name], signal.SIGKILL)

            pump_until(supervisor, lambda: not supervisor.all_ready())
            pump_until(supervisor, supervisor.all_ready)

            assert (postgres.url(), valkey.url) == urls
            with psycopg.connect(postgres.url()) as conn:
                assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert not postgres.is_running()
        assert not valkey.is_running()
    finally:
        postgres.destroy()
        valkey.destroy()


def test_a_page_can_say_that_a_child_is_ready() -> None:
    from prometheus_client import CollectorRegistry

    from billing.workers.runtime.health import HealthServer

    reason: list[str | None] = ["not yet"]
    with HealthServer(CollectorRegistry(), readiness={"it": lambda: reason[0]}) as server:
        assert not http_ready(f"{server.url}/readyz")()
        reason[0] = None
        assert http_ready(f"{server.url}/readyz")()
    assert not http_ready(f"{server.url}/readyz")()


@pytest.fixture
def taken() -> Iterator[int]:
    """The port that the API has by default, taken by somebody else, as by another engine."""
    port = ApiSettings().port
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # somebody has it already
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        yield port


def test_a_second_engine_takes_the_next_free_port_and_says_so(taken: int) -> None:
    said = io.StringIO()

    found = ports(load_settings(None, {}), said)

    free = int(found["BILLING__API__PORT"])
    assert free > taken
    assert f"api.port: {taken} is taken on 127.0.0.1, {free} is used" in said.getvalue()


@pytest.mark.parametrize("key", ["API__PORT", "API__GRPC_PORT", "METRICS__WORKER_PORT"])
def test_a_configured_port_that_is_taken_is_named(key: str, taken: int) -> None:
    settings = load_settings(None, {f"BILLING__{key}": str(taken)})

    with pytest.raises(Unavailable) as refused:
        ports(settings, None)

    assert key.lower().replace("__", ".") in str(refused.value).splitlines()[-1]


def test_with_a_database_of_its_own_no_port_is_given_up(taken: int) -> None:
    settings = load_settings(None, {"BILLING__DATABASE__URL": "postgresql://a@b/c"})

    with pytest.raises(Unavailable, match=str(taken)):
        ports(settings, None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_lines_are_for_people_with_the_role_in_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    settings = load_settings(None, {})
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        output = ChildOutput(stream, None)
        output.write("worker-1", "charged")
        output.write("scheduler", "opened")

    assert readable(settings, terminal) == {"BILLING__LOGS__FORMAT": "console"}
    assert readable(settings, pipe) == {}
    assert readable(load_settings(None, {"BILLING__LOGS__FORMAT": "json"}), terminal) == {}
    assert pipe.getvalue() == "worker-1   | charged\nscheduler  | opened\n"
    assert terminal.getvalue() == (
        "\x1b[36mworker-1   |\x1b[0m charged\n\x1b[32mscheduler  |\x1b[0m opened\n"
    )
