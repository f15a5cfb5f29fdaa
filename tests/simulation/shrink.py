"""Making a story that fails shorter: fewer events, fewer faults, an earlier end.

A story is told again with parts of it left out. What still fails in the same way is kept, until no
part can be left out any more or the time is up.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Final, TypeVar

from tests.simulation.crashes import kind_of
from tests.simulation.events import BEGINNING, Event
from tests.simulation.simulation import Servers, Size, Told, told

SECONDS: Final = 120.0
Part = TypeVar("Part")


@dataclass(frozen=True)
class Story:
    """A seed, with the events and the faults that are left of it."""

    seed: object
    events: Sequence[Event]
    kept: Sequence[int]
    size: Size


def tell(story: Story, where: Servers) -> Told:
    """Tell a story."""
    return told(story.seed, where, story.size, story.events, story.kept)


def shrunk(failed: Told, where: Servers, size: Size, seconds: float = SECONDS) -> Story | None:
    """Return the shortest story that was found to fail as this one; None if it doesn't repeat."""
    ends_at = time.monotonic() + seconds
    wanted = {kind_of(finding) for finding in failed.findings}
    story = Story(failed.seed, failed.events, range(len(failed.fates)), size)

    def fails(candidate: Story) -> bool:
        if time.monotonic() > ends_at:
            return False
        found = {kind_of(finding) for finding in tell(candidate, where).findings}
        return bool(found & wanted)

    if not fails(story):
        return None
    story = _ending_sooner(story, fails)
    for _ in range(2):  # with fewer faults, further events can be left out
        story = _with_fewer_events(story, fails)
        story = _with_fewer_faults(story, fails)
    return story


def _with_fewer_events(story: Story, fails: Callable[[Story], bool]) -> Story:
    events = fewer(story.events, lambda left: fails(replace(story, events=left)))
    return replace(story, events=events)


def _with_fewer_faults(story: Story, fails: Callable[[Story], bool]) -> Story:
    kept = fewer(story.kept, lambda left: fails(replace(story, kept=left)))
    return replace(story, kept=kept)


def _ending_sooner(story: Story, fails: Callable[[Story], bool]) -> Story:
    while True:
        days = story.size.days * 2 // 3
        end = BEGINNING + timedelta(days=days)
        events = [each for each in story.events if each.at < end]
        shorter = replace(story, size=replace(story.size, days=days), events=events)
        if days < 1 or not fails(shorter):
            return story
        story = shorter


def fewer(parts: Sequence[Part], fails: Callable[[Sequence[Part]], bool]) -> Sequence[Part]:
    """Leave out as many parts as possible, large pieces first."""
    if parts and fails(()):
        return ()
    size = len(parts) // 2
    while size:
        begin = 0
        while begin < len(parts):
            left = [*parts[:begin], *parts[begin + size :]]
            if left and fails(left):
                parts = left
            else:
                begin += size
        size //= 2
    return parts


def as_test(story: Story) -> str:
    """Return a story as a test that fails."""
    events = "".join(f"        {_written(event)},\n" for event in story.events)
    return (
        "def test_the_story_is_right(servers: Servers) -> None:\n"
        f"    events = [\n{events}    ]\n"
        f"    story = Story({story.seed!r}, events, {list(story.kept)}, {story.size!r})\n"
        "    assert tell(story, servers).findings == []\n"
    )


def _written(event: Event) -> str:
    default = Event(event.at, event.kind)
    given = [f"at({f'{event.at:%Y-%m-%d %H:%M}'!r})", repr(event.kind)]
    named = {each.name for each in fields(Event)} - {"at", "kind", "effective"}
    for name in (each.name for each in fields(Event) if each.name in named):
        value = getattr(event, name)
        if value != getattr(default, name):
            given.append(f"{name}={value!r}")
    if event.effective is not None:
        given.append(f"effective=date({event.effective:%Y, %-m, %-d})")
    return f"Event({', '.join(given)})"
