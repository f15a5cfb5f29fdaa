"""The output of children: shown with a prefix, and kept in a rotated file for each child."""

import logging
import os
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

_LOG_BYTES_MAX = 5_000_000
_LOG_FILES_KEPT = 3
_LINE_BYTES_MAX = 64 * 1024
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


class ChildOutput:
    """Where children's lines go: prefixed to a stream, and each child's own rotated file."""

    def __init__(self, stream: IO[str] | None, folder: Path | None) -> None:
        self._stream = stream
        self._folder = folder
        self._coloured = stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
        self._colours: dict[str, int] = {}
        self._files: dict[str, RotatingFileHandler] = {}
        self._copiers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.last: dict[str, str] = {}  # by child

    def write(self, name: str, line: str) -> None:
        """Show a line, and append it to the child's file."""
        with self._lock:
            self.last[name] = line or self.last.get(name, "")
            if self._stream is not None:
                try:
                    self._stream.write(f"{self._prefix(name)} {line}\n")
                    self._stream.flush()
                except (OSError, ValueError):  # the pipe's reader is gone; the files go on
                    self._stream = None
            if self._folder is not None:
                self._file(name).emit(logging.makeLogRecord({"msg": line}))

    def _prefix(self, name: str) -> str:
        """Return the role in front of a line, in a colour of its own at a terminal."""
        plain = f"{name:<10} |"
        if not self._coloured:
            return plain
        if name not in self._colours:
            self._colours[name] = _COLOURS[len(self._colours) % len(_COLOURS)]
        return f"\x1b[{self._colours[name]}m{plain}\x1b[0m"

    def copy(self, name: str, pipe: int) -> None:
        """Copy a child's lines from now on until it closes its end."""
        copier = threading.Thread(target=self._copy, args=(name, pipe), name=name, daemon=True)
        self._copiers = [thread for thread in self._copiers if thread.is_alive()] + [copier]
        copier.start()

    def close(self) -> None:
        """Wait a moment for the last lines, and close the files."""
        for copier in self._copiers:
            copier.join(timeout=1.0)
        with self._lock:
            self._folder = None
            for file in self._files.values():
                file.close()

    def _copy(self, name: str, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines:
            while line := lines.readline(_LINE_BYTES_MAX):
                self.write(name, line.decode(errors="replace").rstrip("\r\n"))

    def _file(self, name: str) -> RotatingFileHandler:
        assert self._folder is not None
        if name not in self._files:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files[name] = RotatingFileHandler(
                self._folder / f"{name}.log",
                maxBytes=_LOG_BYTES_MAX,
                backupCount=_LOG_FILES_KEPT,
                encoding="utf-8",
            )
        return self._files[name]
