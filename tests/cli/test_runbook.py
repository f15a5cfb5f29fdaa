"""What the runbook tells an operator to type is typed here, in a world in that situation."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.situations import SITUATIONS, Servers
from tests.cli.world import World
from tests.conftest import Admin

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
ELSEWHERE = {
    "Operations": "the first look",
    "The database is behind the provider": "tests/cli/test_recover.py",
    "Secrets": "prints SQL: tests/store/test_schema.py",
}


@pytest.fixture
def servers(admin: Admin, apart: None, db_url: str, redis_url: str) -> Servers:
    return Servers(admin, db_url, redis_url)


def sections() -> Iterator[tuple[str, str]]:
    """Yield each heading of the page with its text, up to the next heading of any level."""
    _, *parts = re.split(r"^#+ (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    yield from zip(parts[::2], parts[1::2], strict=True)


def commands(text: str) -> list[list[str]]:
    """Return the commands of a section, those in its blocks before those in its sentences."""
    shown = re.findall(r"^billing (.+)$", text, re.MULTILINE)
    told = re.findall(r"`billing ([^`]+)`", text)
    return [shlex.split(line) for line in dict.fromkeys(shown + told)]


def answered(world: World, words: list[str]) -> Result:
    """Run a command as somebody who answers its question with yes."""
    done = world.run(*words)
    return world.run(*words, "--yes") if "add --yes" in done.stderr else done


def test_every_section_with_commands_has_its_situation() -> None:
    shown = {heading for heading, text in sections() if re.search("^billing ", text, re.MULTILINE)}
    assert shown <= SITUATIONS.keys() | ELSEWHERE.keys()
    assert ELSEWHERE.keys() <= shown, "each is still there"


@pytest.mark.parametrize("heading", SITUATIONS)
def test_the_commands_of_a_section_end_its_situation(
    heading: str, world: World, servers: Servers
) -> None:
    with SITUATIONS[heading](world, servers) as situation:
        for line, code in situation.seen.items():
            told = world.run(*shlex.split(line))
            assert told.exit_code == code, f"before: billing {line}: {told.output}"
        situation.mend()
        typed = commands(dict(sections())[heading])
        assert typed, "the section shows commands"
        for words in typed:
            done = answered(world, [situation.names.get(word, word) for word in words])
            assert done.exit_code == 0, f"billing {' '.join(words)}: {done.output}"
        situation.ended()
