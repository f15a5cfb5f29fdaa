"""What all pages share: the parts of the process, and the templates."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from billing.console import links, words
from billing.workers.runtime.runtime import Runtime

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
STYLES: Final = ("oat-0.6.1.min.css", "console.css")
SCRIPTS: Final = ("htmx-4.0.1.min.js", "console.js")


@dataclass(frozen=True)
class Console:
    """The parts that pages are made of."""

    runtime: Runtime

    @cached_property
    def templates(self) -> Environment:
        """The templates; what a page doesn't define is an error, and every text is escaped."""
        made = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=200,
            auto_reload=False,
        )
        made.globals.update(
            styles=STYLES, scripts=SCRIPTS, mode=self.runtime.settings.mode, link=links
        )
        made.filters.update(words.FILTERS)
        return made

    def render(self, template: str, **values: object) -> str:
        """Return a page as text."""
        return self.templates.get_template(template).render(**values)
