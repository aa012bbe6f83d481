"""`exportctl completion SHELL`: the shell's script. Answered before this is imported, but for unusual words."""

from typing import Annotated, Literal

import typer

from exportctl.commands.document import document


@document
def command(
    *, shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
) -> int:
    """Print the script that completes exportctl's commands, options and values in a shell.

    Examples:
      source <(exportctl completion bash)
      exportctl completion zsh > ~/.zsh/completions/_exportctl
      exportctl completion fish > ~/.config/fish/completions/exportctl.fish
    """
    from exportctl.startup.answers import SCRIPTS, read, say  # noqa: PLC0415 - only where it runs

    script = read("shells", SCRIPTS[shell])
    return say(script or "")
