"""`billing up`, the roles it is made of, and the demo."""

import click

from billing.cli import collect_as_usual
from billing.cli.output import Output, output_option
from billing.cli.session import Session


@click.command()
@click.pass_obj
def up(session: Session) -> None:
    """Run the whole engine on this machine until Ctrl-C.

    Starts what config.toml calls "embedded" (PostgreSQL, Valkey, the sandbox), brings the schema
    forward, then runs scheduler, workers, reconciler, API and console, and
    restarts what falls.
    """
    from billing.cli.output import talk
    from billing.workers.up.up import up as run

    collect_as_usual()
    run(session.settings, session.config, on_ready=lambda: talk("everything runs; Ctrl-C stops it"))


def _run_role(session: Session, role: str) -> None:
    from billing.workers import roles

    collect_as_usual()
    match role:
        case "scheduler" | "worker" | "reconciler":
            roles.run_role(role, session.settings)
        case "api":
            from billing.api import serving

            roles.run_role(role, session.settings, serving.work)
        case "console":
            from billing.console import serving as console_serving

            roles.run_role(role, session.settings, console_serving.work)
        case _:
            raise AssertionError(role)


@click.command()
@click.pass_obj
def scheduler(session: Session) -> None:
    """Run one scheduler: opens due cycles and sends charges on their way."""
    _run_role(session, "scheduler")


@click.command()
@click.pass_obj
def worker(session: Session) -> None:
    """Run one worker: makes the charges. Run several for more throughput."""
    _run_role(session, "worker")


@click.command()
@click.pass_obj
def reconciler(session: Session) -> None:
    """Run one reconciler: compares with the provider, and closes cycles."""
    _run_role(session, "reconciler")


@click.command()
@click.pass_obj
def api(session: Session) -> None:
    """Run the API: HTTP and gRPC, for callers with a key (`billing keys create`)."""
    _run_role(session, "api")


@click.command()
@click.pass_obj
def console(session: Session) -> None:
    """Run the console: pages for people, who log in with a key (`billing keys create --role`)."""
    _run_role(session, "console")


@click.command()
@click.option(
    "--subscriptions", type=click.IntRange(1, 100_000), default=310, show_default=True,
    help="How many subscriptions to bill.",
)  # fmt: skip
@click.option(
    "--months", type=click.IntRange(1, 60), default=12, show_default=True,
    help="How many months to let pass.",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same run.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end, to look around.")
@click.option("--no-faults", is_flag=True, help="Let everything go well.")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@output_option
@click.pass_obj
def demo(
    session: Session,
    subscriptions: int,
    months: int,
    seed: int,
    keep: bool,
    no_faults: bool,
    as_json: bool,
    output: Output,
) -> int:
    """Bill months in seconds, with faults, and prove the result.

    On embedded servers and data of its own, deleted afterwards. Ends with 3 if a promise is broken.
    """
    from billing.workers.demo import run as demo_run

    collect_as_usual()
    options = demo_run.DemoOptions(
        subscriptions=subscriptions,
        months=months,
        seed=seed,
        keep=keep,
        json=as_json or output.format != "table",
        faults=not no_faults,
    )
    return demo_run.run(session.settings, options)
