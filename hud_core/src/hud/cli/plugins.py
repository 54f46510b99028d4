"""``hud plugins``: what is installed, what it provides, and what is broken."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from hud.cli.console import Ink, emit
from hud.cli.exits import Exit

if TYPE_CHECKING:
    import argparse

    from hud_core.kernel import Kernel, Plugin

KINDS = ("backends", "agents", "graders", "task_sources", "task_sinks", "result_sinks", "executors")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the plugins; fail when one of them is broken."""
    kernel: Kernel = arguments.kernel
    kernel.load_everything()
    plugins = [_describe(kernel, plugin) for plugin in kernel.plugins]
    failures = [{"source": failure.source, "problem": failure.problem} for failure in kernel.failures]
    if arguments.json:
        emit(json.dumps({"plugins": plugins, "failures": failures}, indent=2))
    else:
        _print(plugins, failures)
    return Exit.FAILED if failures else Exit.OK


def _describe(kernel: Kernel, plugin: Plugin) -> dict[str, Any]:
    distribution, _, version = plugin.source.rpartition(" ")
    provides = {kind: _provided(kernel, kind, plugin) for kind in KINDS}
    provides["commands"] = _commands(plugin)
    return {
        "name": plugin.name,
        "distribution": distribution or plugin.source,
        "version": version if distribution else None,
        "provides": {kind: names for kind, names in provides.items() if names},
    }


def _provided(kernel: Kernel, kind: str, plugin: Plugin) -> list[str]:
    registry = getattr(kernel, kind)
    return sorted(name for name in registry if registry.source(name) == plugin.source)


def _commands(plugin: Plugin) -> list[str]:
    try:
        return sorted(command.name for command in getattr(plugin.module, "hud_commands", list)())
    except Exception:  # noqa: BLE001  the plugin's code; the kernel has noted its failure already
        return []


def _print(plugins: list[dict[str, Any]], failures: list[dict[str, str]]) -> None:
    ink = Ink(sys.stdout)
    for plugin in plugins:
        emit(f"{ink.bold(plugin['name'])} {ink.dim(_origin(plugin))}")
        for kind, names in plugin["provides"].items():
            emit(f"  {kind.replace('_', ' '):<13} {', '.join(names)}")
    for failure in failures:
        problem = failure["problem"].replace("\n", "\n  ")
        emit(f"{ink.red('broken')} {ink.bold(failure['source'])}\n  {problem}")


def _origin(plugin: dict[str, Any]) -> str:
    return " ".join(filter(None, [plugin["distribution"], plugin["version"]]))
