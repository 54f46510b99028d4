"""A session whose environment lives in a child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from hud_core.environment.session import Session
from hud_core.errors import ArgumentError, BackendError, ToolError
from hud_core.model.tools import ToolResult
from hud_local.process.channel import ChannelClosed
from hud_local.process.failures import rebuild
from hud_local.process.launcher import REPORT_SECONDS
from hud_local.process.messages import NOTHING, decode_evaluation, decode_prompt, decode_result, decode_tools, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import msgspec

    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer, Evaluation
    from hud_core.model.tools import Tool, ToolCall
    from hud_local.process.channel import Channel
    from hud_local.process.launcher import ChildProcess


class Link:
    """One of a child's sockets, for asking; explains what happened when the child is gone."""

    __slots__ = ("_channel", "_child", "_environment")

    def __init__(self, environment: str, child: ChildProcess, channel: Channel) -> None:
        self._environment = environment
        self._child = child
        self._channel = channel

    async def ask(
        self, method: str, payload: bytes | msgspec.Raw = NOTHING, *, cancellable: bool = False
    ) -> msgspec.Raw:
        """Ask, and give the answer's payload.

        Raises:
            BackendError: The child has ended.
            Exception: What the environment raised.
        """
        try:
            response = await self._channel.request(method, payload, cancellable=cancellable)
        except ChannelClosed:
            self._child.is_lost = True
            msg = f"the process of environment {self._environment!r} ended during {method}: {await self._fate()}"
            raise BackendError(msg) from None
        finally:
            self._child.output.publish()
        if response.failure is not None:
            raise rebuild(response.failure)
        return response.payload

    async def _fate(self) -> str:
        with anyio.move_on_after(REPORT_SECONDS):
            return await self._child.wait()
        self._child.kill()  # it closed its sockets and lives on
        return "it does not answer"


class ProcessTools:
    """The tools of a child, over a socket on which nothing but tools can be asked for."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools that the running scenario shows."""
        return decode_tools(await self._link.ask("list_tools", cancellable=True))

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool function in the child."""
        try:
            payload = encode(call, lenient=False)
            return decode_result(await self._link.ask("call_tool", payload, cancellable=True))
        except (ToolError, TypeError, ValueError) as error:  # what cannot be sent there or back
            return ToolResult.error(f"tool {call.name!r}: {error}", call.id)


class ProcessSession(Session):
    """One rollout's session with a child."""

    __slots__ = ("_channels", "_child", "_environment", "_link", "_tools")

    def __init__(self, environment: str, child: ChildProcess, harness: Channel, tools: Channel) -> None:
        self._environment = environment
        self._child = child
        self._channels = (harness, tools)
        self._link = Link(environment, child, harness)
        self._tools = ProcessTools(Link(environment, child, tools))

    @property
    def tools(self) -> ProcessTools:
        """The environment's tools."""
        return self._tools

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario up to its prompt, in the child."""
        try:
            payload = encode((scenario, args), lenient=False)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"scenario {scenario!r}", [f"an argument is not JSON data: {error}"]) from error
        return decode_prompt(await self._link.ask("setup", payload))

    async def grade(self, answer: Answer) -> Evaluation:
        """Send the answer to the scenario in the child and read its score."""
        return decode_evaluation(await self._link.ask("grade", encode(answer)))

    async def finish(self, grace: float) -> None:
        """Have the child tear down and end; kill it, with all that it started, when that takes longer than `grace`.

        Raises:
            BackendError: It had ended before, or had to be killed.
            RolloutError: The environment's own teardown failed.
        """
        with anyio.CancelScope(shield=True):
            try:
                with anyio.move_on_after(grace) as limit:
                    if not self._child.is_lost:
                        await self._link.ask("close")
                    await self._child.wait()
                if limit.cancelled_caught:
                    await self._kill(grace)
            finally:
                for part in (*self._channels, self._child.output):
                    part.close()

    async def _kill(self, grace: float) -> None:
        self._child.kill()
        with anyio.move_on_after(REPORT_SECONDS):
            await self._child.wait()
        msg = f"the process of environment {self._environment!r} took longer than {grace:g} s to close and was killed"
        raise BackendError(msg)
