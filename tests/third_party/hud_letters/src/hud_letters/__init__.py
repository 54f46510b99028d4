"""Counts letters: one of everything that a plugin can provide. Only descriptions are here; `load` imports the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core import Command, Provider, hookimpl

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from hud_core import Agent, Backend, Executor, Grader, ResultSink, TaskSink, TaskSource


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    def load() -> type[Backend]:
        from hud_letters.running import Fresh

        return Fresh

    yield Provider("fresh", load, "opens environments of this process")


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    def load() -> type[Agent]:
        from hud_letters.answering import Counter

        return Counter

    yield Provider("letters", load, "counts letters without a model", models=("letters-*",))


@hookimpl
def hud_graders() -> Iterable[Provider[Grader]]:
    def load() -> type[Grader]:
        from hud_letters.answering import Number

        return Number

    yield Provider("number", load, "compares the first number in the answer")


@hookimpl
def hud_task_sources() -> Iterable[Provider[TaskSource]]:
    def load() -> type[TaskSource]:
        from hud_letters.keeping import Words

        return Words

    yield Provider("words", load, "words:FILE is one task a line, words:apple,pear one a word")


@hookimpl
def hud_task_sinks() -> Iterable[Provider[TaskSink]]:
    def load() -> type[TaskSink]:
        from hud_letters.keeping import Shelf

        return Shelf

    yield Provider("shelf", load, "keeps tasks in a JSON file")


@hookimpl
def hud_result_sinks() -> Iterable[Provider[ResultSink]]:
    def load() -> type[ResultSink]:
        from hud_letters.keeping import Tally

        return Tally

    yield Provider("tally", load, "counts events by type, and may write the counts to a file")


@hookimpl
def hud_executors() -> Iterable[Provider[Executor]]:
    def load() -> type[Executor]:
        from hud_letters.running import Here

        return Here

    yield Provider("here", load, "runs the job where it was submitted")


@hookimpl
def hud_commands() -> Iterable[Command]:
    yield Command("count", "count a letter in a word", _configure, _run)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word")
    parser.add_argument("letter", nargs="?", default="r")


def _run(arguments: argparse.Namespace) -> int:
    print(arguments.word.count(arguments.letter))
    return 0
