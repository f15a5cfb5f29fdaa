"""Form decoding: `a[b][0]=c` becomes `{"a": {"b": {"0": "c"}}}`.

Arrays stay dictionaries here; whoever reads a parameter knows whether it is a list.
"""

from typing import Any
from urllib.parse import parse_qsl

from billing.sandbox.errors import refused

Form = dict[str, Any]
Pairs = list[tuple[str, str]]


def decode_pairs(text: str) -> Pairs:
    """Split a query string or form body into its pairs, in order."""
    return parse_qsl(text, keep_blank_values=True)


def nest(pairs: Pairs) -> Form:
    """Build the nested form. Raises: ApiError when one name is both a value and a hash."""
    form: Form = {}
    for name, value in pairs:
        if "[" not in name:
            form[name] = value
        else:
            _put(form, name, value)
    return form


def _put(form: Form, name: str, value: str) -> None:
    head, _, rest = name.partition("[")
    path = [head, *rest.removesuffix("]").split("][")]
    level = form
    for part in path[:-1]:
        inner = level.setdefault(part, {})
        if not isinstance(inner, dict):
            raise refused(f"Invalid hash: {name}", param=head)
        level = inner
    level[path[-1] or str(len(level))] = value
