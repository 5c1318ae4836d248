"""`completion`: what a shell needs to complete commands and options; prints it, installs nothing.

What a newcomer gets wrong: kubectl completes a plugin by a program `kubectl_complete-NAME` on PATH
that answers in kubectl's own format: one word a line, at last `:` and a directive.
"""

import click
from click.shell_completion import get_completion_class

from controller.cli.exits import HELP

PROGRAM = "memgraph-controller"
VARIABLE = "_MEMGRAPH_CONTROLLER_COMPLETE"
NO_FILES = 4  # kubectl's directive: complete with these words alone

KUBECTL = f"""#!/bin/sh
# Save as `kubectl_complete-memgraph` on PATH, executable: kubectl asks it to complete
# `kubectl memgraph ...`. The last word is the one that is being written.
COMP_WORDS="{PROGRAM} $*" COMP_CWORD=$# {VARIABLE}=bash_complete {PROGRAM} |
  while IFS=, read -r kind word; do [ "$kind" = plain ] && echo "$word"; done
echo :{NO_FILES}
"""


@click.command(epilog=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "kubectl"]))
def completion(shell: str) -> None:
    """A script that completes commands and options in SHELL.

    \b
    Examples:
      source <(memgraph-controller completion bash)
      memgraph-controller completion zsh > ~/.zfunc/_memgraph-controller
      memgraph-controller completion kubectl > ~/bin/kubectl_complete-memgraph
    """
    if shell == "kubectl":
        click.echo(KUBECTL, nl=False)
        return
    found = get_completion_class(shell)
    assert found is not None, "click knows all that the choice allows"
    from controller.cli.entry import cli

    click.echo(found(cli, {}, PROGRAM, VARIABLE).source())
