"""The model-tool loop: ask the model, run the tools that it calls, tell it what they gave, until it answers."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, overload

import anyio
import attrs

from hud_core import trace
from hud_core.agents.asking import ask
from hud_core.agents.config import BaseAgentConfig
from hud_core.agents.conversation import Conversation, ModelTurn, ToolTurn, read_structured
from hud_core.agents.native import is_computer, offer
from hud_core.environment.calls import MalformedCall, portable_tools
from hud_core.environment.session import Toolbox, ToolFilter
from hud_core.errors import AgentError, ConfigError, ContextOverflowError
from hud_core.interfaces import Agent
from hud_core.metering.meter import JobMeter, Meter
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.task import Task
from hud_core.model.tools import ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from hud_core.agents.native import NativeTool
    from hud_core.environment.session import Tools
    from hud_core.model.content import Content
    from hud_core.model.rollout import Rollout
    from hud_core.model.tools import Tool

FINAL = (StopReason.REFUSED, StopReason.CONTENT_FILTER)
"""Why a model's turn is its last one, whatever it calls."""
LOOKS = ("screenshot", "open_web_browser")
"""Actions of computer tools that show the screen and do nothing else; the first that a tool has is taken."""
CONTINUE = "CONTINUE"
JUDGE_PAUSES = (
    "An assistant works on a task by itself, with tools, and nobody answers its questions. You are given what it said "
    "last. If it has finished or given its answer, reply STOP. If it asks for confirmation, or only says what it will "
    "do next, reply CONTINUE. Reply with that one word."
)

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class Drivable(Protocol[T_co]):
    """**Protocol:** an open rollout that lets an agent attempt it: what ``hud.eval`` gives."""

    async def drive(self, agent: Agent, *, max_steps: int) -> T_co:
        """Let the agent attempt the task, and grade its answer."""


class ToolLoopAgent(Agent):
    """An agent on a model API. A vendor's subclass implements `respond` and inherits everything else.

    One object may run many rollouts at once: what belongs to one of them is in its `Conversation` alone.

    Args:
        options: Settings, as `config_class` declares them.

    Raises:
        ConfigError: A setting is unknown, missing or wrong.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = BaseAgentConfig
    """The settings that the agent takes."""
    agent_type: ClassVar[str] = ""
    """The key in a tool's ``native_tools`` under which its form for this agent stands."""
    known_tools: ClassVar[Mapping[str, NativeTool]] = {}
    """Native forms of tools that carry no such mark, by their well-known names."""

    def __init__(self, **options: Any) -> None:
        self.config: BaseAgentConfig = self.config_class.from_options(options)
        self.name: str = self.name or self.config.model or ""
        self.wants_setup_output: bool = self.config.append_setup_output
        self.own_meter: JobMeter = JobMeter(Meter())
        """What calls outside a job go through."""

    @classmethod
    def create(cls, **options: Any) -> Self:
        """Make the agent from its settings."""
        return cls(**options)

    @abstractmethod
    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Ask the model for its next turn.

        The conversation holds all that was said, so an agent on a stateless API sends it whole, and one whose API keeps
        state sends what came after its last `ModelTurn`, whose `raw` holds what it needs. Arguments that are not a JSON
        object are returned as a `MalformedCall` (`read_call` does it), a refusal or a cut-off answer as `stop`.

        Raises:
            ProviderError: The endpoint failed. This sends one request and never tries again: whoever calls it does.
        """

    @overload
    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int = 10) -> Answer: ...

    @overload
    async def run(self, prompt: Drivable[R], toolbox: None = None, *, max_steps: int = 10) -> R: ...

    @overload
    async def run(self, prompt: Task, toolbox: None = None, *, max_steps: int = 10) -> Rollout: ...

    async def run(
        self, prompt: Prompt | Drivable[Any] | Task, toolbox: Toolbox | None = None, *, max_steps: int = 10
    ) -> object:
        """Attempt a task: given a prompt and a toolbox, or the open rollout of ``hud.eval``, which is then graded.

        Args:
            prompt: What is asked; or an open rollout, ``await agent.run(ctx)``; or a task, as ``task.run(agent)``.
            toolbox: The tools.
            max_steps: Model turns at the most. The tools that the last of them calls still run.

        Raises:
            ConfigError: It is none of these.
        """
        if isinstance(prompt, Task):
            return await prompt.run(self, max_steps=max_steps)
        if not isinstance(prompt, Prompt):
            if not hasattr(prompt, "drive"):
                kind = type(prompt).__name__
                raise ConfigError(f"an agent runs a task, an open rollout, or a prompt with a toolbox; got {kind}")
            return await prompt.drive(self, max_steps=max_steps)
        if toolbox is None:
            raise ConfigError("a prompt needs a toolbox beside it: run(prompt, toolbox); an open rollout stands alone")
        toolbox = self._shown(toolbox)
        tools = await toolbox.list_tools()
        offered = offer(tools, self.agent_type, self.config.model or "", self.known_tools)
        functions, names = portable_tools(offered.functions)
        names |= {form.name: form.tool.name for form in offered.native if form.tool is not None}
        added = await self._added(prompt, tools, toolbox)
        conversation = Conversation(
            system="\n\n".join(filter(None, (self.config.system_prompt, prompt.system))),
            tools=functions,
            native=offered.native,
            answer_schema=prompt.answer_schema,
            enable_citations=prompt.enable_citations,
            turns=list(prompt.showing(added).messages),
        )
        trace.conversation_started(
            model=self.config.model or "", system=conversation.system, tools=offered.tools, added=added
        )
        screens = {name for name, own in names.items() if any(own == tool.name and is_computer(tool) for tool in tools)}
        caller = _Caller(await self.prepare(conversation, toolbox), names, screens)
        return await self._converse(conversation, caller, max_steps)

    async def prepare(self, conversation: Conversation, toolbox: Toolbox) -> Toolbox:  # noqa: ARG002  for subclasses
        """Look at a conversation before its first turn, and give the toolbox that its calls go to.

        A vendor's subclass says here what its model cannot do without, changes what is offered, or sees to it that
        tools give what its API asks of them.

        Raises:
            AgentError: The model cannot attempt the task with these tools.
        """
        return toolbox

    async def _added(self, prompt: Prompt, tools: Sequence[Tool], toolbox: Toolbox) -> tuple[Content, ...]:
        """Give what the settings want the model to see behind the prompt."""
        added = prompt.setup_output if self.config.append_setup_output else ()
        if self.config.initial_screenshot or prompt.initial_screenshot:
            added += await screenshot(tools, toolbox)
        return added

    async def _converse(self, conversation: Conversation, caller: _Caller, max_steps: int) -> Answer:
        last = ModelTurn()
        for _ in range(max_steps):
            try:
                turn = await self._ask(conversation)
            except ContextOverflowError as error:
                trace.log_line(str(error), source="agent")
                return _answer(last, conversation, StopReason.CONTEXT_OVERFLOW)
            if turn.stop in FINAL or not (turn.calls or turn.paused or await self._goes_on(turn)):
                return _answer(turn, conversation, turn.stop or _ended(turn))
            last = turn if turn.text else last
            if turn.paused and not turn.calls:
                continue
            if not turn.calls:
                conversation.turns.append(Message(content=(TextContent(text=CONTINUE),)))
                trace.log_line("the model paused, and was told to continue", source="agent")
                continue
            results = await caller.call_all(turn.calls)
            if (response := self._response(results)) is not None:
                return response
            conversation.turns.append(ToolTurn(results))
        return _answer(last, conversation, StopReason.MAX_STEPS)

    def _response(self, results: Sequence[tuple[ToolCall | MalformedCall, ToolResult]]) -> Answer | None:
        """Give the answer, where a call of the response tool gave it."""
        for call, result in results:
            if call.name == self.config.response_tool_name and isinstance(call, ToolCall) and not result.is_error:
                text = call.arguments.get("response", result.text)
                return Answer(text=text) if isinstance(text, str) else Answer(text=json.dumps(text), structured=text)
        return None

    async def _goes_on(self, turn: ModelTurn) -> bool:
        """Ask the model whether a turn without a tool call was a pause and not its answer."""
        if not self.config.auto_respond or not turn.text or turn.stop is not None:
            return False
        said = Message(content=(TextContent(text=turn.text),))
        verdict = await self._ask(Conversation(system=JUDGE_PAUSES, turns=[said]))
        return "STOP" not in verdict.text.upper() and CONTINUE in verdict.text.upper()

    async def _ask(self, conversation: Conversation) -> ModelTurn:
        """Ask the model until it answers, add its turn to the conversation and to the record.

        Raises:
            ProviderError: The endpoint failed, after the retries that make sense.
            BudgetError: The call does not fit into what is left of a budget.
        """
        asked = await ask(self, conversation)
        turn = asked.turn
        conversation.turns.append(turn)
        trace.model_called(
            model=turn.model or self.config.model or "",
            seconds=asked.seconds,
            waited=asked.waited,
            usage=asked.usage,
            cached=asked.cached,
            text=turn.text,
            reasoning=turn.reasoning,
            calls=tuple(call.as_call if isinstance(call, MalformedCall) else call for call in turn.calls),
            stop_reason=turn.finish,
            request_id=turn.request_id,
            retries=asked.retries,
        )
        return turn

    def _shown(self, toolbox: Toolbox) -> Toolbox:
        """Hide the tools that the agent's own settings hide."""
        if self.config.allowed_tools is None and not self.config.disallowed_tools:
            return toolbox
        shown = ToolFilter(self.config.allowed_tools, self.config.disallowed_tools)
        return Toolbox(cast("Tools", toolbox), shown)

    @property
    def called_models(self) -> tuple[str, ...]:
        """The agent's model."""
        return (self.config.model,) if self.config.model else ()

    @property
    def fingerprint(self) -> str:
        """The model, and a digest of every setting that decides how the agent behaves."""
        settings = json.dumps(self.config.described(), sort_keys=True, default=repr)
        digest = hashlib.sha256(f"{type(self).__name__}{settings}".encode()).hexdigest()[:16]
        return f"{self.config.model}:{digest}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.config.model!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _Caller:
    """Makes the tool calls of a turn, under the tools' own names.

    Args:
        toolbox: Where the tools are.
        names: For the names that the model calls them by, their own.
        screens: Those of them, as the model calls them, that operate a screen: what they do depends on the order.
    """

    def __init__(self, toolbox: Toolbox, names: dict[str, str], screens: Collection[str]) -> None:
        self._toolbox = toolbox
        self._names = names
        self._screens = screens

    async def call_all(
        self, calls: tuple[ToolCall | MalformedCall, ...]
    ) -> tuple[tuple[ToolCall | MalformedCall, ToolResult], ...]:
        """Make all calls at once, but those of a screen one after another; give the results in the calls' order."""
        if len(calls) == 1:  # most turns have one call, and a task group costs
            return ((calls[0], await self._call(calls[0])),)
        results: list[ToolResult] = [ToolResult()] * len(calls)

        async def call(*places: int) -> None:
            for place in places:
                results[place] = await self._call(calls[place])

        alike = [place for place, call in enumerate(calls) if call.name in self._screens]
        rows = [[place] for place in range(len(calls)) if place not in alike] + ([alike] if alike else [])
        try:
            async with anyio.create_task_group() as tasks:
                for places in rows:
                    tasks.start_soon(call, *places)
        except ExceptionGroup as group:  # a tool's failure is a result, so this is the end of the rollout: say whose
            raise group.exceptions[0] from group
        return tuple(zip(calls, results, strict=True))

    async def _call(self, call: ToolCall | MalformedCall) -> ToolResult:
        if isinstance(call, MalformedCall):
            trace.log_line(call.result.text, source="agent")
            return call.result
        name = self._names.get(call.name, call.name)
        result = await self._toolbox.call_tool(call if name == call.name else attrs.evolve(call, name=name))
        return result if result.call_id == call.id else attrs.evolve(result, call_id=call.id)


async def screenshot(tools: Sequence[Tool], toolbox: Toolbox) -> tuple[Content, ...]:
    """Take a picture of the screen with the toolbox's computer tool, or else one that says that it takes them.

    Raises:
        AgentError: There is none, or it fails.
    """
    browsers = (tool for tool in tools if LOOKS[0] in str(_action(tool)[1]))
    tool = next(filter(is_computer, tools), None) or next(browsers, None)
    if tool is None:
        known = ", ".join(tool.name for tool in tools) or "none"
        raise AgentError(f"initial_screenshot needs a computer tool, and there is none; tools: {known}")
    key, schema = _action(tool)
    actions = (schema.get("enum") if isinstance(schema, dict) else None) or LOOKS
    look = next((action for action in LOOKS if action in actions), LOOKS[0])
    result = await toolbox.call_tool(ToolCall(tool.name, {key: look}))
    if result.is_error:
        raise AgentError(f"initial_screenshot: tool {tool.name!r} gave no screenshot: {result.text}")
    return result.content


def _action(tool: Tool) -> tuple[str, Any]:
    """Give the argument that tells a tool what to do: its name, and its schema."""
    properties = tool.input_schema.get("properties", {})
    key = "action" if "action" in properties or "type" not in properties else "type"
    return key, properties.get(key)


def _ended(turn: ModelTurn) -> StopReason:
    return StopReason.ANSWERED if turn.text or turn.structured is not None else StopReason.EMPTY


def _answer(turn: ModelTurn, conversation: Conversation, stop: StopReason) -> Answer:
    structured = turn.structured
    if structured is None and conversation.answer_schema is not None:
        structured = read_structured(turn.text)
    return Answer(text=turn.text, structured=structured, citations=turn.citations, stop_reason=stop)
