"""``hud trace``: one rollout as a readable conversation."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from hud.cli.console import Ink, emit, plain
from hud.cli.exits import Exit
from hud.cli.records import contestant, rollout_data
from hud.cli.runs import find
from hud_core.errors import ConfigError, closest
from hud_core.metering.budget import dollars

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hud_core.model.rollout import Rollout

INDENT = "  "


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", help="an id or the beginning of it, a directory, or `last`")
    parser.add_argument("task", help="the task's slug, id or place counted from 0, or the id of a rollout")
    parser.add_argument("--repeat", type=int, metavar="N", help="which repeat of the task, counted from 0 (0)")
    parser.add_argument("--json", action="store_true", help="print the record and its events as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the rollout."""
    from hud_core.job.directory import read_events, read_rollouts

    path = find(arguments.run)
    rollout = choose(read_rollouts(path), arguments.task, arguments.repeat, path)
    events = own_events(read_events(path, rollout.id), rollout)
    if arguments.json:
        emit(json.dumps({"rollout": rollout_data([rollout], path)[0], "events": events}, indent=2))
        return Exit.OK
    for line in Conversation(rollout, path, Ink(sys.stdout)).lines(events):
        emit(line)
    return Exit.OK


def choose(rollouts: list[Rollout], task: str, repeat: int | None, path: Path) -> Rollout:
    """Find the rollout that is meant: by its id, else by its task.

    Raises:
        ConfigError: There is none, or several agents attempted the task.
    """
    for rollout in rollouts:
        if rollout.id == task:
            return rollout
    found = [rollout for rollout in rollouts if task in (rollout.task, rollout.id.partition("/")[0])]
    if not found and task.isdecimal():
        found = [rollout for rollout in rollouts if rollout.task_index == int(task)]
    if not found:
        near = closest(task, [rollout.task for rollout in rollouts])
        raise ConfigError(f"no rollout of task {task!r} has ended in {path.name}{near}; `hud runs show` lists them")
    same = [rollout for rollout in found if rollout.repeat == (repeat or 0)]
    if not same:
        have = ", ".join(str(rollout.repeat) for rollout in sorted(found, key=lambda r: r.repeat)[:10])
        raise ConfigError(f"task {task!r} has no repeat {repeat or 0} that ended; there are {have}")
    if len(same) > 1:
        ids = "\n".join(f"  {rollout.id}" for rollout in same[:20])
        raise ConfigError(f"{len(same)} rollouts match {task!r}; name one of them by its id:\n{ids}")
    return same[0]


def own_events(events: Iterable[dict[str, Any]], rollout: Rollout) -> list[dict[str, Any]]:
    """Leave out what other runs of the same rollout left behind, before they were stopped or killed."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "rollout_started" and event["attempt"] == 1:
            if event["time"] > rollout.started + rollout.seconds:
                break  # it was begun once more after it had ended
            kept.clear()
        kept.append(event)
    return kept


class Conversation:
    """Puts a rollout into words.

    Args:
        rollout: The rollout.
        directory: Its run directory, where images are.
        ink: Colours.
    """

    def __init__(self, rollout: Rollout, directory: Path, ink: Ink) -> None:
        self._rollout = rollout
        self._directory = directory
        self._ink = ink

    def lines(self, events: list[dict[str, Any]]) -> Iterator[str]:
        """Give the conversation line by line."""
        rollout, ink = self._rollout, self._ink
        yield f"{ink.bold(plain(rollout.task))} {ink.dim(f'{contestant(rollout)}, repeat {rollout.repeat}')}"
        for event in events:
            yield from getattr(self, f"_{event['type']}", self._nothing)(event)
        yield ""
        yield from self._outcome(is_told=any(event["type"] == "attempt_failed" for event in events))

    def _nothing(self, _: dict[str, Any]) -> Iterator[str]:
        yield from ()

    def _heading(self, title: str, detail: str = "") -> Iterator[str]:
        yield ""
        yield f"{self._ink.cyan(self._ink.bold(title))} {self._ink.dim(detail)}".rstrip()

    def _text(self, text: str) -> Iterator[str]:
        for line in plain(text).splitlines():
            yield f"{INDENT}{line}".rstrip()

    def _content(self, blocks: Iterable[dict[str, Any]]) -> Iterator[str]:
        for block in blocks:
            if block.get("text") is not None and not _is_file(block):
                yield from self._text(block["text"])
            else:
                yield f"{INDENT}[{plain(self._where(block))}]"

    def _where(self, block: dict[str, Any]) -> str:
        """Name a block that is no text: the file that it was moved to, else what it is."""
        uri = block.get("uri") or ""
        if _is_file(block):
            return " ".join(filter(None, [block.get("text"), str(self._directory / uri)]))
        return " ".join(filter(None, [block["type"], uri, block.get("mimeType") or block.get("mime_type")]))

    # --- one method for each type of event ----------------------------------------------------------------------------

    def _rollout_started(self, event: dict[str, Any]) -> Iterator[str]:
        if event["attempt"] > 1:
            yield from self._heading(f"attempt {event['attempt']}")
        arguments = ", ".join(f"{key}={value!r}" for key, value in (event["args"] or {}).items())
        yield self._ink.dim(plain(f"{event['scenario']}({arguments})"))

    def _prompted(self, event: dict[str, Any]) -> Iterator[str]:
        if system := event["prompt"].get("system"):
            yield from self._heading("system")
            yield from self._text(system)
        for message in event["prompt"]["messages"]:
            yield from self._heading(message.get("role", "user"))
            yield from self._content(message["content"])

    def _conversation_started(self, event: dict[str, Any]) -> Iterator[str]:
        if tools := ", ".join(tool["name"] for tool in event.get("tools") or ()):
            yield from self._heading("tools")
            yield from self._text(tools)
        if system := event.get("system"):
            yield from self._heading("system", "the agent's and the task's")
            yield from self._text(system)
        if added := event.get("added"):
            yield from self._heading("user", "added by the agent's settings")
            yield from self._content(added)

    def _model_called(self, event: dict[str, Any]) -> Iterator[str]:
        took = "from the cache" if event.get("cached") else f"{event['seconds']:.1f}s{_used(event.get('usage') or {})}"
        who = "assistant" if event.get("caller", "agent") == "agent" else event["caller"]
        yield from self._heading(who, f"{event['model']}, {took}")
        for line in self._text(event.get("reasoning") or ""):
            yield self._ink.dim(line)
        yield from self._text(event.get("text") or "")

    def _tool_called(self, event: dict[str, Any]) -> Iterator[str]:
        call = event["call"]
        arguments = ", ".join(f"{key}={value!r}" for key, value in (call.get("arguments") or {}).items())
        yield from self._heading("tool call")
        yield from self._text(f"{call['name']}({arguments})")

    def _tool_returned(self, event: dict[str, Any]) -> Iterator[str]:
        result = event["result"]
        is_error = result.get("isError") or result.get("is_error")
        yield from self._heading("tool error" if is_error else "tool result", event["name"])
        for line in self._content(result.get("content") or ()):
            yield self._ink.red(line) if is_error else line

    def _answered(self, event: dict[str, Any]) -> Iterator[str]:
        answer = event["answer"]
        reason = answer.get("stop_reason", "answered")
        yield from self._heading("answer", "" if reason == "answered" else reason)
        yield from self._text(answer.get("text") or "(no text)")
        if answer.get("structured") is not None:
            yield from self._text(json.dumps(answer["structured"], indent=2, ensure_ascii=False))

    def _graded(self, event: dict[str, Any]) -> Iterator[str]:
        evaluation = event["evaluation"]
        yield from self._heading("grade")
        yield f"{INDENT}reward {evaluation['reward']:.3f}"
        for score in evaluation.get("subscores") or ():
            yield from self._text(f"{score['name']}: {score['value']:g}, weight {score.get('weight', 1):g}")
        yield from self._text(evaluation.get("content") or "")
        if info := evaluation.get("info"):
            yield from self._text(json.dumps(info, ensure_ascii=False))

    def _log_line(self, event: dict[str, Any]) -> Iterator[str]:
        for line in self._text(f"{event.get('source') or 'log'}: {event['text']}"):
            yield self._ink.dim(line)

    def _attempt_failed(self, event: dict[str, Any]) -> Iterator[str]:
        again = event.get("retry_in")
        yield from self._heading("failed", f"{event['cause']}, in phase {event['phase']}")
        for line in self._text(event["error"]):
            yield self._ink.red(line)
        if again is not None:
            yield f"{INDENT}tried again after {again:.1f}s"

    # --- the end ------------------------------------------------------------------------------------------------------

    def _outcome(self, *, is_told: bool) -> Iterator[str]:
        rollout, ink = self._rollout, self._ink
        if rollout.reward is not None:
            yield f"{ink.green('scored')} {rollout.reward:.3f} in {rollout.seconds:.1f}s"
        else:
            yield f"{ink.red('invalid')} ({rollout.cause}, phase {rollout.phase}) after {rollout.seconds:.1f}s"
            yield from map(ink.red, () if is_told else self._text(rollout.error or ""))


def _is_file(block: dict[str, Any]) -> bool:
    """Whether a block's content was moved to a file; its text is the name that it had."""
    return (block.get("uri") or "").startswith("files/")


def _used(usage: dict[str, Any]) -> str:
    """Say what a model call used, and what it cost where that is known."""
    if not usage:
        return ""
    cost = f", {dollars(usage['cost'])}" if usage.get("cost") else ""
    return f", {usage.get('input_tokens', 0):,} + {usage.get('output_tokens', 0):,} tokens{cost}"
