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

from billing.config import EMBEDDED, Settings
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey, free_port
from billing.store.schema import migrate
from workers.runtime.clock import SystemClock
from workers.runtime.runtime import sandbox_file, sandbox_url
from workers.up.child_spec import ChildSpec, Pauses, embedded_child, http_ready
from workers.up.supervisor import Supervisor

STATE_FILE: Final = "supervisor.json"


def up(
    settings: Settings,
    config_path: Path | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run everything until Ctrl-C or TERM. Raises `Unavailable` when a part can't be started."""
    supervisor(settings, config_path, os.environ, echo=sys.stderr).run(on_ready)


def supervisor(
    settings: Settings,
    config_path: Path | None,
    env: Mapping[str, str],
    *,
    echo: IO[str] | None,
    durable: bool = True,
    pauses: Pauses | None = None,
    api: bool = True,
) -> Supervisor:
    """Return a supervisor for all that these settings need on this machine."""
    folder = settings.embedded.dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # one made by an earlier release was open to everybody
    return Supervisor(
        children(settings, config_path, env, durable=durable, api=api),
        wall=SystemClock().wall,
        state_file=folder / STATE_FILE,
        log_dir=folder / "logs",
        echo=echo,
        pauses=pauses,
    )


def children(
    settings: Settings,
    config_path: Path | None,
    env: Mapping[str, str],
    *,
    durable: bool = True,
    api: bool = True,
) -> list[ChildSpec]:
    """Return the children that have to run, in the order of their start."""
    specs: list[ChildSpec] = []
    if settings.database.url == EMBEDDED:
        specs.append(_postgres(settings, durable))
    if settings.redis.url == EMBEDDED:
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
    return specs


def _postgres(settings: Settings, durable: bool) -> ChildSpec:
    """A database is ready when it has its schema."""
    server = EmbeddedPostgres(settings.embedded.dir, durable=durable)
    server.prepare()
    child = embedded_child(server)

    def ready() -> bool:
        if not server.ready():
            return False
        migrate(server.url())
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
        name="sandbox", command=command, env=env, ready=http_ready(f"{url}/_sandbox/stats")
    )


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
