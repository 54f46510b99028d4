"""A session whose environment is behind an MCP server: scenarios as prompts and resources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import attrs
from mcp import Client, MCPError, types
from pydantic import ValidationError

from hud_core import errors
from hud_core.environment.environment import normalise
from hud_core.environment.session import Session
from hud_core.environment.values import evaluation_from
from hud_core.errors import ArgumentError, BackendError, GraderError, HudError, SetupError, closest
from hud_mcp import wire
from hud_mcp.client.connection import Connection, text_of
from hud_mcp.client.convert import RESULT, arguments_to, listed_prompt, prompt_from, result_from
from hud_mcp.client.described import described
from hud_mcp.client.lists import everything
from hud_mcp.client.tools import MCPTools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp.types import RequestParamsMeta

    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer, Evaluation
    from hud_core.model.publications import ListedPrompt
    from hud_core.model.tools import ToolResult

CLOSE_SECONDS = 10.0
"""How long a server may take to end an episode."""
_ERRORS: dict[str, type[HudError]] = {
    kind.__name__: kind
    for kind in (SetupError, GraderError, BackendError, errors.ConfigError, errors.AgentError, errors.BudgetError)
}


class MCPSession(Session):
    """One rollout's session with a server.

    Args:
        name: The environment's name, as tasks know it.
        connection: The way to the server.
        capability: What shows the server that it is the harness who asks.
    """

    __slots__ = ("_capability", "_connection", "_is_open", "_name", "_scenario", "_tools")

    def __init__(self, name: str, connection: Connection, capability: str | None = None) -> None:
        self._name = name
        self._connection = connection
        self._capability = capability
        self._scenario: str | None = None
        self._is_open = False  # whether the server waits for us to end the episode
        self._tools = MCPTools(connection)

    @property
    def tools(self) -> MCPTools:
        """The server's tools."""
        return self._tools

    @property
    def is_lost(self) -> bool:
        """Whether the server is known to be gone."""
        return self._connection.is_lost

    # --- setup --------------------------------------------------------------------------------------------------------

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario on the server up to its prompt: get the prompt of its name."""
        await self.aclose()
        arguments = _arguments(scenario, args)
        name = scenario if ":" in scenario else f"{normalise(self._name)}:{scenario}"
        try:
            result = await self._prompt(name, arguments, args)
        except MCPError as error:
            name = await self._known_as(scenario, name, error)
            result = await self._prompt(name, arguments, args)
        return self._begin(name, result)

    async def _prompt(self, name: str, arguments: dict[str, str], args: Mapping[str, Any]) -> types.GetPromptResult:
        """Get a prompt.

        Raises:
            MCPError: The server says no such prompt, or it has none.
            SetupError: The scenario failed.
        """
        meta = self._meta(**{wire.ARGUMENTS: dict(args)})
        self._connection.is_bound = True  # before the answer: whatever it is, something may have been set up
        try:
            return await self._connection.ask(lambda client: client.get_prompt(name, arguments, meta=meta))
        except MCPError as error:
            raised = _raised(error)
            if raised is not None:
                raise raised from None  # the server has said where; where the SDK read it is no place to look at
            raise
        except ValidationError as error:
            msg = f"scenario {name!r}: {self._connection} gave a prompt that breaks the protocol: {error}"
            raise SetupError(msg) from error

    async def _known_as(self, scenario: str, tried: str, error: MCPError) -> str:
        """Find the prompt that a scenario is, if it is another than was tried.

        Raises:
            SetupError: There is none, or there is and it failed.
        """
        names = await self.list_scenarios()
        if tried in names:
            msg = f"scenario {tried!r} failed: {text_of(error)}"
            raise SetupError(msg) from None  # as in `_prompt`
        same = [name for name in names if name.rpartition(":")[2] == scenario.rpartition(":")[2]]
        if ":" not in scenario and len(same) == 1:
            return same[0]
        known = ", ".join(names) or "none"
        msg = f"{self._connection} has no scenario {scenario!r}{closest(scenario, names)}; it has {known}"
        raise SetupError(msg) from error

    async def list_scenarios(self) -> list[str]:
        """List the server's scenarios: its prompts with a ``:`` in their names."""
        return [scenario.name for scenario in await self.describe_scenarios()]

    async def describe_scenarios(self) -> list[ListedPrompt]:
        """Describe the server's scenarios."""
        try:
            prompts = await self._connection.ask(lambda client: everything(client, "prompts", meta=self._meta()))
        except MCPError:  # it says that it has prompts, and has none
            return []
        return [listed_prompt(prompt) for prompt in prompts if ":" in prompt.name]

    async def describe(self) -> dict[str, Any]:
        """Ask the server for all that it offers.

        Returns:
            The lists ``tools``, ``scenarios``, ``prompts``, ``resources`` and ``templates``, as
            ``hud analyze --format json`` prints them.

        Raises:
            BackendError: The connection is lost, or the server gives no such lists.
        """
        try:
            return await self._connection.ask(lambda client: described(client, self._shown()))
        except (MCPError, ValidationError) as error:
            said = text_of(error) if isinstance(error, MCPError) else str(error)
            msg = f"{self._connection} does not say what it offers: {said}"
            raise BackendError(msg) from error

    def _begin(self, name: str, result: types.GetPromptResult) -> Prompt:
        meta = result.meta or {}
        handle = meta.get(wire.EPISODE)
        self._scenario = name
        self._tools.episode = handle if isinstance(handle, str) else None
        self._is_open = self._tools.episode is not None
        self._connection.is_bound = not self._is_open
        if self._tools.episode is None:  # a server that hides tools does so itself; others leave it to us
            self._tools.hide(_names(meta.get("exclude_tools")), _names(meta.get("allowed_tools")))
        prompt = prompt_from(result)
        if not any(block for message in prompt.messages for block in message.content):
            msg = f"scenario {name!r}: {self._connection} gave an empty prompt"
            raise SetupError(msg)
        return prompt

    # --- grade --------------------------------------------------------------------------------------------------------

    async def grade(self, answer: Answer) -> Evaluation:
        """Submit the answer, and read the score: the resource of the scenario's name."""
        if self._scenario is None:
            msg = "nothing to grade: no scenario was set up"
            raise GraderError(msg)
        try:
            await self._submit(self._scenario, answer)
            data = await self._read(self._scenario)
        except MCPError as error:
            # As in `_prompt`: the server has said where.
            raise _raised(error) or GraderError(f"scenario {self._scenario!r}: {text_of(error)}") from None
        except ValueError as error:  # the SDK's ValidationError is one
            msg = f"scenario {self._scenario!r}: {self._connection} breaks the protocol: {error}"
            raise GraderError(msg) from error
        self._is_open = False
        return _evaluation(self._scenario, data)

    async def _submit(self, scenario: str, answer: Answer) -> None:
        """Hand the answer over, verbatim; one that is data goes as JSON text, which every server reads."""
        text = answer.text if answer.structured is None else json.dumps(answer.structured, ensure_ascii=False)
        details = {wire.ANSWER: attrs.asdict(answer)} if self._tools.episode is not None else {}
        arguments = {"scenario": scenario.rpartition(":")[2], "answer": text}
        result = await self._connection.ask(lambda client: self._call(client, arguments, details))
        if result.is_error:
            msg = f"scenario {scenario!r}: the server did not take the answer: {result.text}"
            raise GraderError(msg)

    async def _call(self, client: Client, arguments: dict[str, Any], details: Mapping[str, Any]) -> ToolResult:
        params = types.CallToolRequestParams(name=wire.SUBMIT, arguments=arguments, _meta=self._meta(**details))
        return result_from(await client.session.send_request(types.CallToolRequest(params=params), RESULT), "")

    async def _read(self, scenario: str) -> str:
        # Asked again after a loss only where the episode has a handle: see `Connection.is_bound`.
        result = await self._connection.ask(
            lambda client: client.read_resource(scenario, meta=self._meta()), repeatable=True
        )
        texts = [part.text for part in result.contents if isinstance(part, types.TextResourceContents)]
        if not texts:
            msg = f"scenario {scenario!r}: {self._connection} gave no score"
            raise GraderError(msg)
        return texts[0]

    # --- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End the episode, so that the scenario's ``finally`` blocks run now; without a handle its session ends it."""
        if not self._is_open:
            return
        self._is_open = False
        arguments = {"scenario": (self._scenario or "").rpartition(":")[2]}
        try:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._connection.ask(lambda client: self._call(client, arguments, {wire.CLOSE: True}))
        except (BackendError, MCPError, ValueError) as error:
            self._connection.log(f"the episode was not closed: {error}")

    def _meta(self, **more: Any) -> RequestParamsMeta | None:
        """Give what a harness's request carries: the episode, and the capability."""
        meta: dict[str, Any] = dict(self._tools.meta() or {}) | more | dict(self._shown() or {})
        return meta or None  # type: ignore[return-value]  # an open map, which type checkers do not know yet

    def _shown(self) -> RequestParamsMeta | None:
        """Give what shows that it is the harness who asks."""
        return None if self._capability is None else {wire.HARNESS: self._capability}  # type: ignore[return-value]  # as above


def _arguments(scenario: str, args: Mapping[str, Any]) -> dict[str, str]:
    try:
        return arguments_to(args)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"scenario {scenario!r}", [f"an argument is not JSON data: {error}"]) from error


def _names(value: object) -> Sequence[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _raised(error: MCPError) -> HudError | None:
    """Give the kernel's exception that a server of ours reports; None for any other error."""
    data = error.data
    if not isinstance(data, dict) or not isinstance(data.get(wire.ERROR), str):
        return None
    if data[wire.ERROR] == ArgumentError.__name__:
        return ArgumentError(str(data.get(wire.SUBJECT, "the server")), _names(data.get(wire.PROBLEMS)))
    kind = _ERRORS.get(data[wire.ERROR])
    return None if kind is None else kind(error.message)


def _evaluation(scenario: str, text: str) -> Evaluation:
    """Read a score.

    Raises:
        GraderError: It is none, or grading failed.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        msg = f"scenario {scenario!r}: the server's score is not JSON: {text[:200]!r}"
        raise GraderError(msg) from error
    if not isinstance(data, dict):
        msg = f"scenario {scenario!r}: the server's score is no object: {text[:200]!r}"
        raise GraderError(msg)
    if data.get("isError"):
        raise GraderError(f"scenario {scenario!r}: {data.get('content') or 'grading failed on the server'}")
    return evaluation_from({key: value for key, value in data.items() if value is not None})
