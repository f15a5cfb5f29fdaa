"""`billing completion`: what a shell needs to complete commands and options."""

import click

from billing.errors import BillingError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: billing completion bash > ~/.local/share/bash-completion/completions/billing
    zsh:  billing completion zsh > "${fpath[1]}/_billing"
    fish: billing completion fish > ~/.config/fish/completions/billing.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise BillingError(f"there is no completion for {shell}")
    root = ctx.find_root().command
    script = kind(root, {}, "billing", "_BILLING_COMPLETE")
    click.echo(script.source_template % script.source_vars())
