"""`python -m billing.sandbox --port N --data DIR`: the sandbox as a process of its own."""

import argparse
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from billing.sandbox.server import SandboxServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # SQLite lets go of the interpreter at each call; take it back sooner than after 5 ms.
    sys.setswitchinterval(0.0005)
    try:
        server = SandboxServer(options.data, options.port)
    except (OSError, sqlite3.OperationalError) as error:
        sys.stderr.write(f"sandbox: can't start on {options.data}, port {options.port}: {error}\n")
        return 4
    server.start()
    if options.port_file is not None:
        _write_whole(options.port_file, f"{server.port}\n")
    sys.stderr.write(f"sandbox: ready on {server.url}, data in {options.data}\n")
    sys.stderr.flush()
    stop.wait()
    server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m billing.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--data", type=Path, required=True, help="directory to keep data in")
    parser.add_argument("--port-file", type=Path, help="write the port here when ready")
    return parser


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
