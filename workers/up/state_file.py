"""The file with the state of a supervisor's children, for `billing status`."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_CLOCK_SLACK = 10.0  # seconds; setting the clock moves every process's start


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What `billing status` shows of a child; `since` is when it entered this state."""

    name: str
    state: str
    pid: int | None
    restarts: int
    since: str
    last_exit: str | None


def write_status(state_file: Path, children: Sequence[ChildStatus]) -> None:
    """Replace the file of this process's children; a reader never sees half of it."""
    content = {
        "pid": os.getpid(),
        "created": psutil.Process().create_time(),
        "children": [
            {key: getattr(child, key) for key in ChildStatus.__slots__} for child in children
        ],
    }
    state_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = state_file.with_suffix(".new")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(state_file)


def read_status(state_file: Path) -> list[ChildStatus] | None:
    """Return what a running supervisor last wrote, or None when it isn't running any more."""
    try:
        content: dict[str, Any] = json.loads(state_file.read_text())
        created = psutil.Process(content["pid"]).create_time()
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    if abs(created - content["created"]) > _CLOCK_SLACK:  # another process with that pid
        return None
    return [ChildStatus(**child) for child in content["children"]]
