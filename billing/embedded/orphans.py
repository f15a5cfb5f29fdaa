"""Child processes that can't outlive their parent, whatever kills it.

A child is started through this very file, run as a script: it gives up root if asked to, ties
itself to the parent, and then *becomes* the command (same pid). On Linux the tie is
PR_SET_PDEATHSIG: the kernel sends the signal when the parent is gone, even after `kill -9`. The
order matters, because the kernel forgets the tie when credentials change. Elsewhere a watcher
process waits for the parent's end of a pipe to close.

The command starts with the default reaction to every signal. A shell that runs a command in its
background lets it ignore SIGINT, and `nohup` SIGHUP; a child would inherit that, and a signal that
asks it to stop would have no effect.

Linux ties a child to the *thread* that started it, so children are started by the main thread.
Nothing of ours and nothing outside the standard library is imported: the script has to start
in milliseconds and from any working directory.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_HAS_PDEATHSIG = sys.platform == "linux"
_watchers: list[subprocess.Popen[bytes]] = []


def spawn(
    command: Sequence[str],
    *,
    on_parent_death: int = signal.SIGKILL,
    user: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: int = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a command that gets the signal `on_parent_death` as soon as this process is gone.

    It runs in a process group of its own, so that Ctrl-C reaches the parent only, which then
    decides the order of stopping. `user` is a (uid, gid) to become first; `output` receives
    stdout and stderr.
    """
    assert threading.current_thread() is threading.main_thread(), "the tie is to this thread"
    process = subprocess.Popen(  # noqa: S603 - the command is our caller's, no shell reads it
        tied(command, on_parent_death, user),
        env=None if env is None else dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    if not _HAS_PDEATHSIG:
        _watch(process.pid, on_parent_death)
    return process


def tied(
    command: Sequence[str],
    on_parent_death: int = signal.SIGKILL,
    user: tuple[int, int] | None = None,
) -> list[str]:
    """Return the command line that ties itself to this process and becomes the command.

    For callers that need more of `Popen` than `spawn` offers. Only Linux keeps this tie.
    """
    uid, gid = user or (-1, -1)
    tie = [str(number) for number in (os.getpid(), int(on_parent_death), uid, gid)]
    return [sys.executable, "-I", "-S", __file__, *tie, *command]


def _watch(pid: int, signum: int) -> None:
    """Start the watcher for systems without PR_SET_PDEATHSIG; it ends with its process."""
    _watchers[:] = [watcher for watcher in _watchers if watcher.poll() is None]
    watcher = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-I", "-S", __file__, "--watch", str(pid), str(int(signum))],
        stdin=subprocess.PIPE,
        process_group=0,
    )
    _watchers.append(watcher)  # keeps our end of the pipe open


def _run_watcher(pid: int, signum: int) -> None:
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def _become(parent: int, signum: int, uid: int, gid: int, command: list[str]) -> None:
    import ctypes  # needed only here; early, while we may read the library

    libc = ctypes.CDLL(None, use_errno=True)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if _HAS_PDEATHSIG:
        if libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0) != 0:
            sys.exit(f"can't tie {command[0]} to its parent: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:  # it died before the tie held
            sys.exit(f"the parent of {command[0]} is gone")
    for inherited in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(inherited, signal.SIG_DFL)  # this interpreter ignores SIGPIPE, for one
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell wanted
    except OSError as error:
        sys.exit(f"can't run {command[0]}: {error.strerror}")


def _main(arguments: list[str]) -> None:
    if arguments[0] == "--watch":
        _run_watcher(int(arguments[1]), int(arguments[2]))
    else:
        parent, signum, uid, gid = (int(number) for number in arguments[:4])
        _become(parent, signum, uid, gid, arguments[4:])


if __name__ == "__main__":
    _main(sys.argv[1:])
