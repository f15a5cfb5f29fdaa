"""What the runbook tells an operator to type is typed here, section by section."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import World

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
SECTIONS = (
    "Attempts are unknown",
    "Refunds are unknown",
    "Webhooks are stuck",
    "Redis takes no messages",
    "Outcomes can't be written",
    "Digests made through a pooler",
    "Log lines",
)


def section(heading: str) -> str:
    """Return the text of a section, up to the next heading of its level or above."""
    text = RUNBOOK.read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, heading
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def commands(heading: str) -> Iterator[list[str]]:
    """Yield the commands of a section, those in its blocks and those in its sentences."""
    text = section(heading)
    typed = re.findall(r"^billing (.+)$", text, re.MULTILINE) + re.findall(
        r"`billing ([^`]+)`", text
    )
    for line in dict.fromkeys(typed):
        yield shlex.split(line)


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_commands_of_a_section_do_what_it_says(heading: str, paid: World) -> None:
    (payment,) = paid.json("charges", "list")
    refund = paid.json("refunds", "create", payment["id"], "--amount", "1", "--yes")
    names = {"PAYMENT": payment["id"], "REFUND": refund["refund_id"]}
    typed = [[names.get(word, word) for word in words] for words in commands(heading)]

    assert typed, "the section shows commands"
    for words in typed:
        done = paid.run(*words)
        assert done.exit_code == 0, f"billing {' '.join(words)}: {done.output}"
