"""``hud completion``: the shell asks ``hud __complete WORD...`` for candidates, so they are never out of date."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hud.cli.console import emit
from hud.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hud_core.kernel import Kernel

# Where nothing is offered, the shells fall back to file names.
SCRIPTS = {
    "bash": """\
_hud_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(hud __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _hud_complete hud
""",
    "zsh": """\
#compdef hud
_hud_complete() {
    local -a found
    found=("${(@f)$(hud __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -- "${found[@]}"; else _files; fi
}
compdef _hud_complete hud
""",
    "fish": """\
function __hud_complete
    set -l words (commandline -opc)
    set -l found (hud __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c hud -f -a '(__hud_complete)'
""",
}
HINTS = {
    "bash": 'eval "$(hud completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(hud completion zsh)"    # in ~/.zshrc, below compinit',
    "fish": "hud completion fish | source    # in ~/.config/fish/config.fish",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=sorted(SCRIPTS), help="the shell")
    parser.epilog = "Load it with one of: " + " | ".join(HINTS.values())


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    emit(f"# {HINTS[arguments.shell]}\n{SCRIPTS[arguments.shell]}".rstrip())
    return Exit.OK


def candidates(kernel: Kernel, words: Sequence[str]) -> list[str]:
    """Say what the last word may become; nothing where a file is meant, or nothing is known."""
    *before, last = words or [""]
    if not before:
        return _beginning(kernel.commands, last)
    command = kernel.commands.get(before[0])
    if command is None:
        return []
    from hud.cli.parser import parser_for

    parser, rest = _descend(parser_for(command), before[1:])
    return _beginning(_possible(kernel, parser, rest, last), last)


def _beginning(names: Iterable[str], last: str) -> list[str]:
    return sorted(name for name in names if name.startswith(last))


def _descend(parser: argparse.ArgumentParser, words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """Follow a subcommand such as ``hud runs show`` to its own parser."""
    subcommands = _subcommands(parser)
    for place, word in enumerate(words):
        if word in subcommands:
            return _descend(subcommands[word], words[place + 1 :])
    return parser, words


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    choices = [action.choices for action in _actions(parser) if action.nargs == argparse.PARSER]
    return dict(choices[0]) if choices and isinstance(choices[0], dict) else {}


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001  argparse has no public way to ask a parser what it takes


def _possible(kernel: Kernel, parser: argparse.ArgumentParser, words: list[str], last: str) -> list[str]:
    options = {word: action for action in _actions(parser) for word in action.option_strings}
    if words and (action := options.get(words[-1])) and action.nargs != 0:
        return _values(kernel, action)
    if last.startswith("-"):
        return [word for word, action in options.items() if action.help != argparse.SUPPRESS]
    given = sum(1 for place, word in enumerate(words) if _is_positional(words, place, word, options))
    positional = [action for action in _actions(parser) if not action.option_strings]
    return _values(kernel, positional[given]) if given < len(positional) else []


def _is_positional(words: list[str], place: int, word: str, options: dict[str, argparse.Action]) -> bool:
    before = options.get(words[place - 1]) if place else None
    return not word.startswith("-") and (before is None or before.nargs == 0)


def _values(kernel: Kernel, action: argparse.Action) -> list[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.dest == "agent":
        return list(kernel.agents)
    if action.dest in ("run", "resume", "first", "second"):
        from hud_core.job.directory import list_runs

        return ["last", *(path.name for path in list_runs())]
    return []
