"""Faults on demand: lost answers, cut lines, refusals and delays, on chosen requests of /v1.

A fault fires on the requests it matches until `times` is used up, or by chance with
`probability` from a seeded generator, so that a run can be repeated.
"""

import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BEFORE = frozenset(  # nothing is executed
    (
        "hang_before",
        "reset_before",
        "error_500_uncommitted",
        "rate_limit_429",
        "conflict_409",
        "error_401",
    )
)
SLOW = frozenset(("slow",))  # executed after a delay; a twin meanwhile gets a 409
COMMITTED_500 = frozenset(("error_500",))  # executed; a 500 is answered and kept under the key
AFTER = frozenset(  # executed and kept under the key; the answer is lost or spoilt
    ("hang_after_commit", "reset_after_commit", "truncated_body", "garbage_200")
)
KINDS = BEFORE | SLOW | COMMITTED_500 | AFTER
_DELAY_MS = {"hang_before": 35_000, "hang_after_commit": 35_000, "slow": 1_000}


@dataclass(slots=True)
class InjectedFault:
    """One fault: what happens, to which requests, how often."""

    id: int
    kind: str
    times: int | None
    probability: float
    seed: int
    method: str | None
    path: str
    delay_ms: int
    fired: int = 0
    chance: random.Random = field(init=False, repr=False)
    pattern: re.Pattern[str] = field(init=False, repr=False)
    cleared: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        self.pattern = _pattern(self.path)
        self.chance = random.Random(self.seed)  # noqa: S311  repeatable, not secret

    def fires(self, method: str, path: str) -> bool:
        """Whether this request is hit; counts it if so."""
        if self.times is not None and self.fired >= self.times:
            return False
        if self.method not in (None, method) or not self.pattern.match(path):
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def delay(self) -> None:
        """Wait as long as the fault delays a request, or until it is cleared."""
        self.cleared.wait(self.delay_ms / 1000)

    def described(self) -> dict[str, Any]:
        """Return the fault as the control API shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "times": self.times,
            "probability": self.probability,
            "seed": self.seed,
            "match": {"method": self.method, "path": self.path},
            "delay_ms": self.delay_ms,
            "fired": self.fired,
        }


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches the beginning of a path, or the whole of it when it ends with `$`.

    `*` stands for one part.
    """
    whole = path.endswith("$")
    escaped = re.escape(path.removesuffix("$")).replace(r"\*", "[^/]+")
    return re.compile(f"{escaped}$" if whole else escaped)


class Faults:
    """The faults in force. They live in memory: a restart forgets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[InjectedFault] = []
        self._next_id = 1
        self.fired: Counter[str] = Counter()

    def add(self, wanted: dict[str, Any]) -> InjectedFault:
        """Add a fault from its JSON description. Raises: ValueError."""
        with self._lock:
            fault = _parse(wanted, self._next_id)
            self._next_id += 1
            self._faults.append(fault)
        return fault

    def take(self, kinds: frozenset[str], method: str, path: str) -> InjectedFault | None:
        """Return the first fault of these kinds that hits the request."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fault.fires(method, path):
                    self.fired[fault.kind] += 1
                    return fault
        return None

    def described(self) -> list[dict[str, Any]]:
        """Return all faults with how often each has fired."""
        with self._lock:
            return [fault.described() for fault in self._faults]

    def clear(self) -> None:
        """Remove all faults and let go of what they delay; the totals by kind stay."""
        with self._lock:
            for fault in self._faults:
                fault.cleared.set()
            self._faults.clear()


def _parse(wanted: dict[str, Any], fault_id: int) -> InjectedFault:
    unknown = set(wanted) - {"kind", "times", "probability", "seed", "match", "delay_ms"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    kind, match = wanted.get("kind"), wanted.get("match", {})
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    if not isinstance(match, dict) or set(match) - {"method", "path"}:
        raise ValueError("match takes method and path")
    by_chance = "probability" in wanted
    probability = float(wanted.get("probability", 1))
    if not 0 <= probability <= 1:
        raise ValueError("probability is between 0 and 1")
    times = wanted.get("times", None if by_chance else 1)
    return InjectedFault(
        id=fault_id,
        kind=kind,
        times=None if times is None else int(times),
        probability=probability,
        seed=int(wanted.get("seed", 0)),
        method=match.get("method"),
        path=match.get("path", "/v1"),
        delay_ms=int(wanted.get("delay_ms", _DELAY_MS.get(kind, 0))),
    )
