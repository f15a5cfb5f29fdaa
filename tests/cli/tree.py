"""The tree of commands, walked, so that what is said of every command is asked of every one."""

from collections.abc import Iterator

import click

from billing.cli.root import root

Path = tuple[str, ...]


def groups(group: click.Group = root, path: Path = ()) -> Iterator[tuple[Path, click.Group]]:
    """Yield every group below `billing`, with the words that lead to it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield (*path, name), command
            yield from groups(command, (*path, name))


def commands(group: click.Group = root, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    """Yield every command that does something, with the words that lead to it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def places_for_text(command: click.Command) -> Iterator[tuple[str, ...]]:
    """Yield the arguments that put a text into each option and argument of a command."""
    for param in command.params:
        if isinstance(param, click.Option) and (param.is_flag or param.name == "help"):
            continue
        yield (max(param.opts, key=len),) if isinstance(param, click.Option) else ()
