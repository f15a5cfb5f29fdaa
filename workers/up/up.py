"""`billing up`: the whole engine on one machine, supervised.

Order: PostgreSQL (with its schema brought forward), Valkey, the sandbox, then our own roles. A
process that ends is restarted with growing pauses; Ctrl-C or TERM stops all, last first; no process
outlives a supervisor that was killed.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from billing.config import EMBEDDED, PREFIX, Settings
from billing.embedded.servers import (
    EmbeddedPostgres,
    EmbeddedValkey,
    free_port,
    is_free,
    next_free,
)
from billing.errors import Unavailable
from billing.store.engine import APP_ROLE
from billing.store.schema import migrate
from billing.workers.runtime.clock import SystemClock
from billing.workers.runtime.runtime import refuse_in_live_mode, sandbox_file, sandbox_url
from billing.workers.up.child_spec import ChildSpec, Pauses, embedded_child, http_ready
from billing.workers.up.supervisor import Supervisor

STATE_FILE: Final = "supervisor.json"
_API_PORT: Final = f"{PREFIX}API__PORT"
_CONSOLE_PORT: Final = f"{PREFIX}CONSOLE__PORT"


def up(
    settings: Settings,
    config_path: Path | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run everything until Ctrl-C or TERM. Raises `Unavailable` when a part can't be started."""
    from billing.workers.up import deliveries  # `billing status` needs no HTTP client

    signing = deliveries.signing_secret(settings)
    given = {
        _API_PORT: str(settings.api.port or free_port()),
        _CONSOLE_PORT: str(settings.console.port or free_port()),
    }
    found = given | ports(settings, sys.stderr)
    env = {**os.environ, **readable(settings, sys.stderr), **signing, **found}

    def ready() -> None:
        deliveries.name_endpoint(settings, signing, int(found[_API_PORT]), sys.stderr.write)
        sys.stderr.write(f"the console: {console_url(settings, int(found[_CONSOLE_PORT]))}\n")
        if on_ready is not None:
            on_ready()

    supervisor(settings, config_path, env, echo=sys.stderr).run(ready)


def console_url(settings: Settings, port: int) -> str:
    """Return where a person opens the console."""
    return f"{settings.console.url or f'http://{settings.console.host}:{port}'}/console"


def readable(settings: Settings, stream: IO[str]) -> dict[str, str]:
    """Return settings that let the children write for whoever looks at this stream.

    A child itself writes into a pipe, behind which there may be a terminal or not.
    """
    if settings.logs.format != "auto" or not stream.isatty():
        return {}
    return {f"{PREFIX}LOGS__FORMAT": "console"}


def supervisor(
    settings: Settings,
    config_path: Path | None,
    env: Mapping[str, str],
    *,
    echo: IO[str] | None,
    durable: bool = True,
    pauses: Pauses | None = None,
    api: bool = True,
    console: bool = True,
) -> Supervisor:
    """Return a supervisor for all that these settings need on this machine."""
    folder = settings.embedded.dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # one made by an earlier release was open to everybody
    return Supervisor(
        children(settings, config_path, env, durable=durable, api=api, console=console),
        wall=SystemClock().wall,
        state_file=folder / STATE_FILE,
        log_dir=folder / "logs",
        echo=echo,
        pauses=pauses,
    )


def ports(settings: Settings, echo: IO[str] | None) -> dict[str, str]:
    """Return settings of ports for the children; all others are as configured.

    With an embedded database, a second engine on this machine takes the next free ports for its
    API, unless they are configured. Raises: Unavailable for a configured port that is taken.
    """
    found: dict[str, str] = {}
    for section, names in (
        ("api", ("port", "grpc_port")),
        ("console", ("port",)),
        (
            "metrics",
            ("scheduler_port", "worker_port", "reconciler_port", "api_port", "console_port"),
        ),
    ):
        part = getattr(settings, section)
        for name in names:
            port = getattr(part, name)
            if not port or is_free(port, part.host):
                continue
            key = f"{section}.{name}"
            if name in part.model_fields_set or settings.database.url != EMBEDDED:
                raise Unavailable(
                    f"port {port} is taken on {part.host}",
                    where=key,
                    remedy=f"end what listens there, or set {key} to another one (0 takes any)",
                )
            free = next_free(port, part.host)
            found[f"{PREFIX}{section.upper()}__{name.upper()}"] = str(free)
            if echo is not None:
                echo.write(f"{key}: {port} is taken on {part.host}, {free} is used\n")
    return found


def children(
    settings: Settings,
    config_path: Path | None,
    env: Mapping[str, str],
    *,
    durable: bool = True,
    api: bool = True,
    console: bool = True,
) -> list[ChildSpec]:
    """Return the children that have to run, in the order of their start."""
    specs: list[ChildSpec] = []
    if settings.database.url == EMBEDDED:
        specs.append(_postgres(settings, durable))
    if settings.redis.url == EMBEDDED:
        refuse_in_live_mode(settings, "Valkey", "redis.url")
        valkey = EmbeddedValkey(settings.embedded.dir)
        valkey.prepare()
        specs.append(embedded_child(valkey))
    if settings.uses_embedded_sandbox:
        specs.append(_sandbox(settings, env))
    specs.append(_role(settings, config_path, env, "scheduler", "scheduler"))
    specs += [
        _role(settings, config_path, env, "worker", f"worker-{number}", number - 1)
        for number in range(1, settings.worker.processes + 1)
    ]
    specs.append(_role(settings, config_path, env, "reconciler", "reconciler"))
    if api:
        specs.append(_role(settings, config_path, env, "api", "api"))
    if console:
        specs.append(_role(settings, config_path, env, "console", "console"))
    return specs


def _postgres(settings: Settings, durable: bool) -> ChildSpec:
    """A database is ready when it has its schema, and its roles their login."""
    refuse_in_live_mode(settings, "PostgreSQL", "database.url")
    server = EmbeddedPostgres(settings.embedded.dir, durable=durable)
    server.prepare()
    child = embedded_child(server)

    def ready() -> bool:
        if not server.ready():
            return False
        migrate(server.url())
        server.make_login(settings.database.role or APP_ROLE)
        return True

    return ChildSpec(
        name=child.name,
        start=child.start,
        ready=ready,
        stop_signal=child.stop_signal,
        kill_signal=child.kill_signal,
        close=child.close,
    )


def _sandbox(settings: Settings, env: Mapping[str, str]) -> ChildSpec:
    """The sandbox keeps its port over restarts, so that a configured URL stays valid."""
    url = sandbox_url(settings)
    if url is None:
        url = f"http://127.0.0.1:{free_port()}"
        sandbox_file(settings).write_text(json.dumps({"url": url}))
    data = settings.embedded.dir / "sandbox"
    port = url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "billing.sandbox", "--port", port, "--data", str(data)]
    return ChildSpec(
        name="sandbox",
        command=command,
        env=without_ours(env),
        ready=http_ready(f"{url}/_sandbox/stats"),
    )


def without_ours(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without our settings: the sandbox needs no key and no password."""
    return {name: value for name, value in env.items() if not name.startswith(PREFIX)}


def _role(
    settings: Settings,
    config_path: Path | None,
    env: Mapping[str, str],
    role: str,
    name: str,
    nth: int = 0,
) -> ChildSpec:
    configured = getattr(settings.metrics, f"{role}_port")
    port = configured + nth if configured else free_port()
    command = [sys.executable, "-m", "billing.cli"]
    if config_path is not None:
        command += ["--config", str(config_path)]
    return ChildSpec(
        name=name,
        command=[*command, role],
        env={**env, f"BILLING__METRICS__{role.upper()}_PORT": str(port)},
        ready=http_ready(f"http://{settings.metrics.host}:{port}/readyz"),
        # A charge that has begun is finished first; the provider's deadline bounds it.
        stop_timeout=settings.longest_call.total_seconds() + 10,
    )
