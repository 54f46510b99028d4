"""Which agent a job runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hud.cli.console import Ink, ask, can_ask, plain, say
from hud_core.errors import ConfigError
from hud_core.kernel import AGENT_ALIASES

if TYPE_CHECKING:
    from hud.cli.evaluate.settings import Layers
    from hud_core.kernel import Kernel


def find_agent(layers: Layers, kernel: Kernel) -> str:
    """Find the agent: the one that was asked for, the one that runs the model, or else the one that a person picks.

    Raises:
        ConfigError: None was asked for, and there is no terminal to ask.
        UnknownProviderError: It is not installed.
    """
    values = layers.values
    if agent := values.get("agent"):
        agent = AGENT_ALIASES.get(agent, agent)
        if kernel.agents.for_model(agent) is None:
            kernel.agents[agent]  # raises, with what is installed and what to install
        return str(agent)
    if (model := values.get("model")) and (provider := kernel.agents.for_model(model)):
        return provider.name
    if not kernel.agents:
        raise ConfigError("no agent is installed; pip install hud-local brings agents that work offline")
    if not can_ask():
        installed = ", ".join(sorted(kernel.agents))
        raise ConfigError(f"which agent? name one: hud eval SOURCE AGENT, or set HUD_AGENT; installed: {installed}")
    return pick(kernel)


def pick(kernel: Kernel) -> str:
    """Let the person at the terminal choose an installed agent, by number or name."""
    ink = Ink(sys.stderr)
    names = list(kernel.agents)
    say(ink.bold("Which agent?"))
    for number, name in enumerate(names, 1):
        say(f"  {number:>2}  {name:<18} {ink.dim(plain(kernel.agents[name].summary))}".rstrip())
    while True:
        try:
            word = ask("number or name: ")
        except EOFError:
            say()
            raise ConfigError("no agent chosen; name one: hud eval SOURCE AGENT") from None
        if word in names:
            return word
        if word.isdecimal() and 1 <= int(word) <= len(names):
            return names[int(word) - 1]
        say(f"{plain(word)!r} is not one of them; a number from 1 to {len(names)}, please")
