"""`billing init`: a configuration and a catalog to start from."""

from pathlib import Path

import click

from billing.cli.output import Output, output_option, talk
from billing.errors import BillingError


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@output_option
def init(folder: Path, output: Output) -> None:
    """Write a commented config.toml and an example catalog.

    A file that is there already is left as it is.
    """
    from billing.cli.templates import CATALOG, CONFIG

    files = {"config.toml": CONFIG, "plans/catalog/example.toml": CATALOG}
    written = [
        {"file": str(folder / name), "written": _write(folder / name, text)}
        for name, text in files.items()
    ]
    output.records(written, ("file", "written"))
    talk("next: `billing up` in one terminal, then `billing doctor` and `billing plans apply`")


def _write(file: Path, text: str) -> bool:
    """Write a file unless there is one."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise BillingError(
            f"can't write {file}: {error.strerror}",
            where=str(file),
            remedy="name a folder you may write to",
        ) from None
    return True
