"""What a job is asked for, after command line, environment and config file are laid over each other."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from hud.cli.evaluate import files
from hud.cli.evaluate.values import parse_list, parse_pair, parse_value, parse_variants
from hud_core.errors import ConfigError
from hud_core.registry import HOMES

if TYPE_CHECKING:
    import argparse

    from hud_core.kernel import Kernel

FIRST, SOME, ALL = "first", "some", "all"
FULL_STEPS = 100
BUDGETS = (
    "max_cost", "max_tokens", "max_time", "rollout_max_cost", "rollout_max_tokens", "rollout_max_time",
)  # fmt: skip


class Settings(Struct, frozen=True, kw_only=True):  # made in a twentieth of the time of a dataclass
    """A job as ``hud eval`` runs it; the run directory keeps it, to go on with the job."""

    source: str
    agent: str
    options: dict[str, Any] = {}
    """The agent's options, with templates such as ``${VAR}`` unresolved."""
    chosen: str = FIRST
    """Which tasks: the first, some or all."""
    task_ids: list[str] = []
    group_size: int = 1
    max_concurrent: int = 30
    max_steps: int = 10
    timeout: float | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    max_time: float | None = None
    rollout_max_cost: float | None = None
    rollout_max_tokens: int | None = None
    rollout_max_time: float | None = None
    prices: str | None = None
    cache: bool = False
    isolate: bool = False
    seed: int | None = None
    name: str = ""
    variants: dict[str, list[Any]] = {}
    allowed_tools: list[str] | None = None
    disallowed_tools: list[str] = []

    def __post_init__(self) -> None:
        for name in ("group_size", "max_concurrent", "max_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"timeout must be more than 0 seconds, got {self.timeout:g}")
        for name in BUDGETS:
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ConfigError(f"{name} must be a number more than 0, got {limit:g}")


class Output(Struct, frozen=True, kw_only=True):
    """How this one call of ``hud eval`` talks, and when it fails."""

    quiet: bool = False
    verbose: int = 0
    json: bool = False
    yes: bool = False
    min_coverage: float | None = None

    def __post_init__(self) -> None:
        if self.min_coverage is not None and not 0 <= self.min_coverage <= 1:
            raise ConfigError(f"min_coverage must be a share between 0 and 1, got {self.min_coverage:g}")


class Layers(Struct, frozen=True, kw_only=True):
    """Settings as given, from the lowest layer to the highest; sections are agents' own options."""

    values: dict[str, Any]
    sections: dict[str, dict[str, Any]]
    pairs: list[tuple[str, str]]
    """``-c`` options."""


def read_layers(arguments: argparse.Namespace) -> Layers:
    """Read the config file, and lay the environment and the command line over it."""
    found = files.read_json(arguments.from_json) if arguments.from_json else files.read_toml()
    values = dict(found.values)
    if agent := os.environ.get("HUD_AGENT"):
        values["agent"] = agent
    given = given_options(arguments)
    if given.keys() & {"task_ids", "all", "full"}:  # the command line says which tasks: the file does not
        for key in ("task_ids", "all", "full"):
            values.pop(key, None)
    pairs = [parse_pair(pair, "-c") for pair in arguments.config or ()]
    return Layers(values={**values, **given}, sections=found.sections, pairs=pairs)


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give the options that the command line holds, as the config file would say them."""
    values = {key: getattr(arguments, key, None) for key in files.KEYS}
    given = {key: value for key, value in values.items() if value is not None and value is not False}  # 0 is given
    for key in ("task_ids", "allowed_tools", "disallowed_tools"):
        if key in given:
            given[key] = parse_list(given[key])
            if not given[key]:
                raise ConfigError(f"--{key.replace('_', '-')} is empty")
    if arguments.variant:
        given["variants"] = parse_variants(arguments.variant)
    return given


def output_of(values: dict[str, Any], arguments: argparse.Namespace) -> Output:
    """Give what this call prints."""
    return Output(
        quiet=values.get("quiet", False),
        verbose=max(int(values.get("verbose", 0)), 2 * int(values.get("very_verbose", False))),
        json=arguments.json,
        yes=arguments.yes,
        min_coverage=values.get("min_coverage"),
    )


def settle(layers: Layers, source: str, agent: str, kernel: Kernel) -> Settings:
    """Make the settings of a new job, once source and agent are known."""
    values = layers.values
    chosen = SOME if values.get("task_ids") else ALL if values.get("all") or values.get("full") else FIRST
    steps = FULL_STEPS if values.get("full") else 10
    direct = {
        key: values[key]
        for key in (
            "task_ids", "group_size", "max_concurrent", "timeout", "isolate", "seed", "name", "variants",
            "allowed_tools", "disallowed_tools", "prices", "cache", *BUDGETS,
        )
        if values.get(key) is not None
    }  # fmt: skip
    return Settings(
        source=source,
        agent=agent,
        options=agent_options(layers, agent, kernel),
        chosen=chosen,
        max_steps=values.get("max_steps", steps),
        **direct,
    )


def agent_options(layers: Layers, agent: str, kernel: Kernel) -> dict[str, Any]:
    """Collect the chosen agent's options: its section of the file, then ``-m``, then ``-c``.

    Raises:
        ConfigError: A section or an option is for an agent that does not exist, or that does not run.
    """
    name = provider_name(agent, kernel)
    for section in layers.sections:
        if section not in kernel.agents and section not in HOMES and section != name:
            raise files.unknown("section", section, [*files.SECTIONS, *kernel.agents])
    options = dict(layers.sections.get(name, {}))
    if model := layers.values.get("model"):
        options["model"] = model
    for key, value in layers.pairs:
        options[_own_key(key, name, kernel)] = parse_value(value)
    return options


def _own_key(key: str, name: str, kernel: Kernel) -> str:
    prefix, dot, rest = key.partition(".")
    if not dot or (prefix != name and prefix not in kernel.agents and prefix not in HOMES):
        return key
    if prefix != name:
        raise ConfigError(f"-c {key}: the option is for agent {prefix!r}, this job runs {name!r}")
    return rest


def provider_name(agent: str, kernel: Kernel) -> str:
    """Give the name of the installed agent that `agent`, perhaps a model, stands for."""
    provider = None if agent in kernel.agents else kernel.agents.for_model(agent)
    return provider.name if provider else agent
