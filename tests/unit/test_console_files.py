"""The console's files: what others made is as they made it, and no page has anything inline."""

import hashlib
import re
from pathlib import Path

import pytest

from billing.console.console import HERE, SCRIPTS, STATIC, STYLES

TEMPLATES = sorted((HERE / "templates").glob("*.html"))
VENDORED = STATIC / "VENDORED.md"
# What a page's own policy would refuse, or what would need `eval`.
INLINE = re.compile(
    r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals=.js:|hx-live"
    r"|\|\s*safe\b|autoescape false",
    re.IGNORECASE,
)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline(template: Path) -> None:
    assert INLINE.findall(template.read_text()) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_is_posted_to_an_address_of_ours(template: Path) -> None:
    for form in re.findall(r"<form[^>]*>", template.read_text()):
        assert re.search(r'method="(get|post)"', form), form
        assert re.search(r'action="(/console/|\{\{)', form), form


def test_files_of_others_are_as_they_made_them() -> None:
    told = VENDORED.read_text()
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", told, re.MULTILINE)

    assert {name for name, _ in rows} == {
        path.name for path in STATIC.iterdir() if ".min." in path.name
    }
    for name, digest in rows:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name


def test_every_file_is_there_and_used() -> None:
    used = {*STYLES, *SCRIPTS, "icon.svg", "VENDORED.md"}

    assert {path.name for path in STATIC.iterdir()} == used


def test_no_file_asks_another_site_for_anything() -> None:
    for name in (*STYLES, *SCRIPTS):
        text = (STATIC / name).read_text()
        assert re.findall(r"@import|url\(\s*['\"]?https?:", text) == [], name
