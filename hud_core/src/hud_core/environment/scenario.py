"""Scenarios as they are declared: an async generator function with two yields."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import marshal
import textwrap
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec

from attrs import field, frozen

from hud_core.environment.signature import Signature, TypeCodec, to_json_data
from hud_core.errors import ArgumentError, DefinitionError
from hud_core.model.evaluation import AgentAnswer, Answer
from hud_core.model.task import Recipe, Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

P = ParamSpec("P")


@frozen(kw_only=True)
class ScenarioOptions:
    """What `Environment.scenario` was told."""

    name: str | None = None
    description: str | None = None
    chat: bool = False
    """The scenario continues a conversation: it takes a parameter ``messages``."""
    required_env_vars: tuple[str, ...] = field(default=(), converter=lambda value: tuple(value or ()))
    """Environment variables that must be set; checked before setup."""
    exclude_tools: tuple[str, ...] = field(default=(), converter=lambda value: tuple(value or ()))
    """`fnmatch` patterns of tools that the agent does not see in this scenario."""
    exclude_sources: tuple[str, ...] = field(default=(), converter=lambda value: tuple(value or ()))
    """Connections whose tools the agent does not see; ``"__local__"`` names the environment's own."""
    allowed_tools: tuple[str, ...] = field(default=(), converter=lambda value: tuple(value or ()))
    """`fnmatch` patterns of tools that are shown although excluded above."""
    returns: Any = None
    """The type of the answer, or None for text."""
    enable_citations: bool = False
    """Ask agents to cite their sources."""


class Digests(NamedTuple):
    """Digests of a scenario's code: up to its first yield, and from there on."""

    setup: str
    grading: str


class ScenarioHandle(Generic[P]):
    """A declared scenario. Call it for its raw generator; `task` binds arguments to it.

    Raises:
        DefinitionError: The function is no async generator function, or a parameter or the answer type has no JSON form.
    """

    def __init__(
        self, environment: Recipe, function: Callable[P, AsyncGenerator[Any, Any]], options: ScenarioOptions
    ) -> None:
        self.environment = environment
        self.function = function
        self.options = options
        self.name = options.name or getattr(function, "__name__", "scenario")
        self.subject = f"scenario {self.name!r}"
        _check(self.subject, self.name, function)
        self.signature = Signature(self.subject, function)
        self.description = options.description or self.signature.description or f"Scenario: {self.name}"
        self.answer_type = None if options.returns in (None, str) else TypeCodec(self.subject, options.returns)
        if options.chat and "messages" not in self.signature.parameters:
            msg = f"{self.subject} with chat=True must take a parameter 'messages'"
            raise DefinitionError(msg)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        """Give the raw generator, for unit tests: ``anext(gen)`` is the prompt, ``gen.asend(answer)`` the score."""
        return self.function(*args, **kwargs)

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Bind arguments to the scenario.

        Raises:
            ArgumentError: An argument is wrong, missing, unknown or not JSON data.
        """
        names = list(self.signature.parameters)
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names):
            raise ArgumentError(self.subject, [f"takes {len(names)} arguments, got {len(args)}"])
        if twice := given.keys() & kwargs.keys():
            raise ArgumentError(self.subject, [f"parameter {name!r} is given twice" for name in sorted(twice)])
        return self.bind({**given, **kwargs})

    def bind(self, arguments: dict[str, Any]) -> Task:
        """Make the task of these arguments, given by name; defaults are written out, so the task says what runs."""
        defaults = {name: p.default for name, p in self.signature.parameters.items() if not p.is_required}
        try:
            data = {name: to_json_data(value) for name, value in {**defaults, **arguments}.items()}
        except TypeError as error:
            raise ArgumentError(self.subject, [f"an argument is not JSON data: {error}"]) from error
        self.signature.bind(data)
        return Task(env=self.environment, scenario=self.name, args=data)

    def receive(self, answer: Answer) -> str | AgentAnswer[Any]:
        """Turn an agent's answer into what the generator receives."""
        if self.answer_type is None:
            return answer.text
        try:
            if answer.structured is not None:
                content = self.answer_type.convert(answer.structured)
            else:
                content = self.answer_type.parse(answer.text)
        except ValueError as error:
            problem = f"the answer is not the {self.options.returns!r} that {self.subject} asks for: {error}"
            return AgentAnswer(content=answer.text, raw=answer.text, citations=answer.citations, error=problem)
        return AgentAnswer(content=content, raw=answer.text, citations=answer.citations)

    @functools.cached_property
    def digests(self) -> Digests:
        """Digests of the code, to tell which earlier rollouts still hold."""
        setup, grading = _split_source(self.function)
        return Digests(digest(setup), digest(grading, repr(self.options.returns)))

    def __repr__(self) -> str:
        return f"ScenarioHandle({self.environment.name}:{self.name})"


def _check(subject: str, name: str, function: object) -> None:
    if ":" in name or not name:
        msg = f"a scenario's name must not be empty or contain ':', got {name!r}"
        raise DefinitionError(msg)
    if not inspect.isasyncgenfunction(function):
        kind = "a coroutine function without yield" if inspect.iscoroutinefunction(function) else "not one"
        msg = (
            f"{subject} must be an async generator function (async def with two yields: "
            f"the prompt, then the score); {getattr(function, '__name__', function)!r} is {kind}"
        )
        raise DefinitionError(msg)


def digest(*parts: str | bytes) -> str:
    """Give a short digest of some text."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:16]


def code_digest(function: Callable[..., Any]) -> str:
    """Give a digest of a function's code: its source, or its byte code where there is no source."""
    return digest(*_split_source(function))


def _split_source(function: Callable[..., Any]) -> tuple[str | bytes, str | bytes]:
    """Split a function's source behind the statement that holds its first yield."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError, IndentationError):
        code = getattr(function, "__code__", None)
        return (marshal.dumps(code) if code else repr(function)), ""
    lines = [node.end_lineno for node in ast.walk(tree) if isinstance(node, ast.Yield) and node.end_lineno]
    if not lines:
        return source, ""
    split = min(lines)
    every = source.splitlines()
    return "\n".join(every[:split]), "\n".join(every[split:])
