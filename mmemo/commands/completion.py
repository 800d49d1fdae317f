"""Completing a command line by the tab key: ``eval "$(mmemo -sc install=bash)"``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from mmemo.errors import InputError

FLAGS = ("-sc", "--shell-completion")

SCRIPT = """\
_mmemo() {
    local line="${COMP_LINE:0:$COMP_POINT}" choices word head
    word="${line##* }"
    choices=$(COMP_LINE="$line" mmemo -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
    # The shell has split the word at "=" and ":" and takes what follows alone.
    head="${word%"${word##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -o nospace -o default -F _mmemo mmemo
"""

SCRIPTS = {
    "install=bash": SCRIPT,
    "install=zsh": f"autoload -Uz bashcompinit && bashcompinit\n{SCRIPT}",
    "uninstall=bash": "complete -r mmemo\n",
    "uninstall=zsh": "complete -r mmemo\n",
}


def complete(arguments: Iterable[str], commands: Iterable[str]) -> None:
    """Print the script that a shell reads, or the words that may stand where the cursor is.

    Args:
        arguments: What follows ``mmemo``.
        commands: Its commands.

    Raises:
        InputError: If it is neither asked to install nor asked for words.
    """
    asked = [argument for argument in arguments if argument.partition("=")[0].endswith("install")]
    if asked and asked[-1] in SCRIPTS:
        print(SCRIPTS[asked[-1]], end="")
    elif "query=bash" in arguments:
        _query(os.environ.get("COMP_LINE", ""), list(commands))
    else:
        raise InputError(
            f"-sc: expected install=bash or install=zsh, got {' '.join(asked) or 'nothing'}; for "
            'bash: eval "$(mmemo -sc install=bash)"'
        )


def _query(line: str, commands: list[str]) -> None:
    _, *words = line.split(" ")
    if len(words) < 2:
        print(" ".join(name for name in commands if name.startswith("".join(words))))
    elif words[0] in commands:
        from mmemo.commands.launch import launch

        # Hydra knows a program without commands.
        os.environ["COMP_LINE"] = " ".join(["mmemo", *words[1:]])
        os.environ.pop("COMP_POINT", None)
        sys.argv = sys.argv[:1]
        launch(words[0], ["-sc", "query=bash"])
