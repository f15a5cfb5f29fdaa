"""What it takes to run a server that refuses root when we are root.

An unprivileged account, a folder it owns, and programs it can reach. Nothing that exists
already gets other permissions: what the account can't reach is copied to where it can.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from billing.embedded import orphans
from billing.errors import Unavailable

SYSTEM_USER = "perennial"
SYSTEM_HOME = Path("/var/lib/perennial")
_FALLBACK_USER = "nobody"


@dataclass(frozen=True, slots=True)
class OsUser:
    """Whom a server runs as."""

    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        """The pair that `orphans.spawn` takes."""
        return self.uid, self.gid


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program that came in a wheel, and the parts of the wheel it needs to run elsewhere."""

    distribution: str
    site: Path
    parts: tuple[Path, ...]
    program: Path

    @classmethod
    def find(cls, distribution: str, package: str, parts: tuple[str, ...], program: str) -> "Wheel":
        """Look a program up without importing the package; `program` is a pattern below it.

        Raises: Unavailable when the package is missing or has none for this machine.
        """
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            site = Path(spec.origin).parent.parent
            for path in sorted((site / package).glob(program)):
                return cls(distribution, site, tuple(site / part for part in parts), path)
        raise Unavailable(
            f"the package {distribution} has no server for this machine",
            remedy="install the extra `embedded` (requirements.lock has it), or set its URL",
        )

    @property
    def label(self) -> str:
        """Name and version: an upgrade is copied anew."""
        return f"{self.distribution}-{importlib.metadata.version(self.distribution)}"

    def reachable(self, account: OsUser) -> Path:
        """Return the path of a copy of the program that the account can run; itself if it can.

        The copy is in a folder of ours: in one of the account's it might put a link in its place.
        """
        if _can_run(self.program, account):
            return self.program
        folder = _programs()
        copy = folder / self.label
        if not copy.is_dir():
            draft = Path(tempfile.mkdtemp(prefix=f"{self.label}.", dir=folder))
            for part in self.parts:
                if part.is_dir():
                    shutil.copytree(part, draft / part.relative_to(self.site), symlinks=True)
            _open_to_read(draft)
            try:
                draft.rename(copy)
            except OSError:  # another process was quicker
                shutil.rmtree(draft, ignore_errors=True)
        return copy / self.program.relative_to(self.site)


def open_own(path: Path) -> TextIO:
    """Open a file of ours to read and write, made if need be; never through a link.

    Raises: `Unavailable` when something else is in its place, `PermissionError`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except PermissionError:
        raise
    except OSError as error:
        raise Unavailable(
            f"{path} can't be opened: {error.strerror}", remedy="remove what is in its place"
        ) from None
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_nlink != 1 or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Unavailable(
            f"{path} isn't a file of this user's alone", remedy="remove it: it holds nothing"
        )
    return os.fdopen(descriptor, "r+")


def _programs() -> Path:
    """Return a folder that only root can write to, for copies of programs."""
    base = _base()
    if base is not None and _is_roots(base):
        folder = base / "programs"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o755, exist_ok=True)
        if _is_roots(folder):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="perennial-programs-"))
    folder.chmod(0o755)
    return folder


def _is_roots(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


def new_home(dir: Path, name: str, *, lasting: bool) -> Path:
    """Make an empty folder for a server's files: `dir/name`, or as root one of its account's.

    As root it gets a name of its own each time, so that a project folder that was moved or
    copied never meets another's data. `lasting=False` puts it with the temporary files.
    """
    if os.geteuid() != 0:
        home = dir / name
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    account = _service_account()
    label = hashlib.sha256(str(dir).encode()).hexdigest()[:12]
    home = Path(tempfile.mkdtemp(prefix=f"{label}-{name}-", dir=_base() if lasting else None))
    os.chown(home, account.uid, account.gid)
    return home


def owner_of(home: Path) -> OsUser | None:
    """Return whom a server with this home runs as: None for ourselves, else (as root) its owner."""
    if os.geteuid() != 0:
        return None
    status = home.stat()
    return OsUser(status.st_uid, status.st_gid)


def _base() -> Path | None:
    """Return the lasting place for data, or None (the temporary folder) if it can't be made."""
    with contextlib.suppress(OSError):
        SYSTEM_HOME.mkdir(mode=0o755, exist_ok=True)
        return SYSTEM_HOME
    return None


def _service_account() -> OsUser:
    """Return the account `perennial`, made if need be, or `nobody` where none can be made."""
    for name in (SYSTEM_USER, _FALLBACK_USER):
        if name == SYSTEM_USER:
            _make_system_user()
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return OsUser(entry.pw_uid, entry.pw_gid)
    raise Unavailable(
        "PostgreSQL doesn't run as root, and this machine has no unprivileged user for it",
        remedy=f"make a system user {SYSTEM_USER}, or run as an ordinary user",
    )


def _make_system_user() -> None:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(SYSTEM_USER)
        return
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        subprocess.run(  # noqa: S603 - fixed arguments; a failure leaves us with the fallback
            [useradd, *options, "--home-dir", str(SYSTEM_HOME), SYSTEM_USER],
            capture_output=True,
            check=False,
        )


def _can_run(program: Path, account: OsUser) -> bool:
    """Try it: only running it proves that every folder above and every library is reachable."""
    trial = orphans.spawn([str(program), "--version"], user=account.ids, cwd="/")
    return trial.wait() == 0


def _open_to_read(top: Path) -> None:
    """Let everybody read our own copy, whatever the umask of whoever installed the wheel."""
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
