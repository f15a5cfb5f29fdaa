"""Real PostgreSQL 18 and Valkey 9 from wheels, as supervised children, for demo, `up` and tests.

Both listen on loopback TCP only, ask for a generated password, and keep port and password in
`<dir>/<name>.json` (readable by its owner alone), so that a restart keeps every URL valid and
another process may connect. They run in the foreground and die with their parent.

PostgreSQL refuses to run as root. Then both run as an unprivileged system user, and what they
own lies in a folder of theirs, usually below /var/lib/perennial. The wheel's programs are copied
to a folder of root's when that user can't reach them. No permission of an existing folder is
changed.
"""

from billing.embedded.ports import free_port, is_free, next_free, port_answers
from billing.embedded.postgres import EmbeddedPostgres
from billing.embedded.server import EmbeddedServer
from billing.embedded.valkey import EmbeddedValkey

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedServer",
    "EmbeddedValkey",
    "free_port",
    "is_free",
    "next_free",
    "port_answers",
]
