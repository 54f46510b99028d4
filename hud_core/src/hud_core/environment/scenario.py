"""Scenarios as they are declared: an async generator function with two yields."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

import attrs
from attrs import field, frozen

from hud_core.environment.digests import Digests, digest, scenario_digests
from hud_core.environment.signature import Signature, TypeCodec, to_json_data
from hud_core.errors import ArgumentError, DefinitionError, closest
from hud_core.model.evaluation import AgentAnswer, Answer
from hud_core.model.task import Recipe, Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

P = ParamSpec("P")

__all__ = ["Digests", "ScenarioHandle", "ScenarioOptions", "digest", "read_options"]


def _names(value: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(value or ())
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        msg = f"expected a list of str, got {value!r}"
        raise TypeError(msg)
    return names


@frozen(kw_only=True)
class ScenarioOptions:
    """What `Environment.scenario` was told."""

    name: str | None = None
    description: str | None = None
    chat: bool = False
    """The scenario continues a conversation: it takes a parameter ``messages``."""
    required_env_vars: tuple[str, ...] = field(default=(), converter=_names)
    """Environment variables that must be set; checked before setup."""
    exclude_tools: tuple[str, ...] = field(default=(), converter=_names)
    """`fnmatch` patterns of tools that the agent does not see in this scenario."""
    exclude_sources: tuple[str, ...] = field(default=(), converter=_names)
    """Connections whose tools the agent does not see; ``"__local__"`` names the environment's own."""
    allowed_tools: tuple[str, ...] = field(default=(), converter=_names)
    """`fnmatch` patterns of tools that are shown although excluded above."""
    returns: Any = None
    """The type of the answer, or None for text."""
    enable_citations: bool = False
    """Ask agents to cite their sources."""


def read_options(name: str | None, description: str | None, options: dict[str, Any]) -> ScenarioOptions:
    """Read what `Environment.scenario` was told.

    Raises:
        DefinitionError: The parentheses are missing, an option is unknown, or its value is wrong.
    """
    if callable(name):
        msg = f"write @env.scenario() with parentheses above {getattr(name, '__name__', name)!r}"
        raise DefinitionError(msg)
    known = [attribute.name for attribute in attrs.fields(ScenarioOptions)]
    for option in options:
        if option not in known:
            msg = f"a scenario has no option {option!r}{closest(option, known)}; there are {', '.join(known)}"
            raise DefinitionError(msg)
    try:
        return ScenarioOptions(name=name, description=description, **options)
    except TypeError as error:
        msg = f"scenario {name or ''!r}: an option is wrong: {error}"
        raise DefinitionError(msg) from error


class ScenarioHandle(Generic[P]):
    """A declared scenario. Call it for its raw generator; `task` binds arguments to it.

    Raises:
        DefinitionError: The function is no async generator function, its name is none, or a parameter or the answer
            type has no JSON form.
    """

    def __init__(
        self, environment: Recipe, function: Callable[P, AsyncGenerator[Any, Any]], options: ScenarioOptions
    ) -> None:
        self.environment = environment
        self.function = function
        self.options = options
        self.name: str = options.name or str(getattr(function, "__name__", "scenario"))
        self.subject: str = f"scenario {self.name!r}"
        _check(self.subject, self.name, function)
        self.signature: Signature = Signature(self.subject, function)
        self.description: str = options.description or self.signature.description or f"Scenario: {self.name}"
        self.answer_type: TypeCodec | None = (
            None if options.returns is None else TypeCodec(self.subject, options.returns)
        )
        if options.chat and "messages" not in self.signature.parameters:
            msg = f"{self.subject} with chat=True must take a parameter 'messages'"
            raise DefinitionError(msg)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        """Give the raw generator, for unit tests: ``anext(gen)`` is the prompt, ``gen.asend(answer)`` the score."""
        return self.function(*args, **kwargs)

    def task(self, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Bind arguments to the scenario.

        Raises:
            ArgumentError: An argument is wrong, missing, unknown or not JSON data.
        """
        names = [parameter.name for parameter in self.signature.parameters.values() if parameter.is_positional]
        if len(args) > len(names):
            raise ArgumentError(self.subject, [f"takes {len(names)} positional arguments, got {len(args)}"])
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise ArgumentError(self.subject, [f"parameter {name!r} is given twice" for name in sorted(twice)])
        return self.bind({**given, **kwargs})

    def bind(self, arguments: dict[str, Any]) -> Task:
        """Make the task of these arguments, given by name; defaults are written out, so the task says what runs.

        Raises:
            ArgumentError: An argument is wrong, missing, unknown or not JSON data.
        """
        data: dict[str, Any] = {}
        problems = []
        for name, value in {**self.signature.defaults, **arguments}.items():
            try:
                data[name] = to_json_data(value)
            except TypeError as error:
                problems.append(f"parameter {name!r} is not JSON data: {error}")
        if problems:
            raise ArgumentError(self.subject, problems)
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
            problem = f"the answer is no {self.answer_type.name}, which {self.subject} asks for: {error}"
            return AgentAnswer(content=answer.text, raw=answer.text, citations=answer.citations, error=problem)
        return AgentAnswer(content=content, raw=answer.text, citations=answer.citations)

    @functools.cached_property
    def digests(self) -> Digests:
        """Digests of the code, to tell which earlier rollouts still hold."""
        return scenario_digests(self.function)

    def __repr__(self) -> str:
        return f"ScenarioHandle({self.environment.name}:{self.name})"


def _check(subject: str, name: object, function: object) -> None:
    if not isinstance(name, str) or ":" in name or not name:
        msg = f"a scenario's name must be a str that is not empty and has no ':', got {name!r}"
        raise DefinitionError(msg)
    if not inspect.isasyncgenfunction(function):
        msg = (
            f"{subject} must be an async generator function (async def with two yields: "
            f"the prompt, then the score); {getattr(function, '__name__', function)!r} is {_kind(function)}"
        )
        raise DefinitionError(msg)


def _kind(function: object) -> str:
    if inspect.iscoroutinefunction(function):
        return "a coroutine function without yield"
    if inspect.isgeneratorfunction(function):
        return "a generator function without async"
    return "a plain function" if inspect.isroutine(function) else f"a {type(function).__name__}"
