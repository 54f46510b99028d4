"""Environments elsewhere, joined to one: which tools there are, what a call reaches, how connections begin and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from far_away import FarBackend, Server, connected_to, far_kernel, to
from hypothesis import given
from hypothesis import strategies as st

from hud_core import (
    Agent,
    BackendError,
    Cause,
    ConfigError,
    ConflictResolution,
    Connection,
    DefinitionError,
    Environment,
    EnvRef,
    Retries,
    Timeouts,
    ToolError,
    evaluate,
    run,
)
from hud_core.environment.opening import Connected
from hud_core.environment.routing import TOOLS, Route, routed
from hud_core.job.fingerprint import Fingerprints
from hud_core.model.tools import Tool, ToolCall
from hud_core.testing import ScriptedAgent


def opening(env: Environment) -> Any:
    """Open an environment's connections, and give its session."""

    class Opened:
        async def __aenter__(self):
            session = env.session()
            self.connected = Connected(session, lambda ref: FarBackend().open(ref))
            await self.connected.__aenter__()
            return session

        async def __aexit__(self, *details):
            return await self.connected.__aexit__(*details)

    return Opened()


async def names(env: Environment) -> list[str]:
    async with opening(env) as session:
        return [tool.name for tool in await session.tools.list_tools()]


async def call(env: Environment, name: str, **arguments: Any) -> str:
    async with opening(env) as session:
        return (await session.call_tool(name, **arguments)).text


def scenario(env: Environment, **options: Any) -> Any:
    """Declare a scenario that scores 1 for the answer ``yes``."""

    @env.scenario("ask", **options)
    async def ask():
        answer = yield "?"
        yield float(answer == "yes")

    return ask


async def one(env: Environment, agent: Agent | None = None, **options: Any) -> Any:
    limits: dict[str, Any] = {"retries": Retries(attempts=2, delay=0.01), **options}
    job = await run(env("ask"), agent or ScriptedAgent(answer="yes"), kernel=far_kernel(), save=False, **limits)
    return job.rollouts[0]


# --- which tools there are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "shown"),
    [
        ({}, ["add", "sub", "_reset"]),
        ({"prefix": "far"}, ["far_add", "far_sub", "_reset"]),
        ({"include": ["add"]}, ["add"]),
        ({"include": ["add"], "prefix": "x"}, ["x_add"]),
        ({"exclude": ["add", "_reset"]}, ["sub"]),
        ({"transform": lambda tool: None if tool.name == "add" else tool}, ["sub", "_reset"]),
        ({"transform": lambda tool: evolve(tool, name=tool.name.upper()), "prefix": "p"}, ["p_ADD", "p_SUB", "_RESET"]),
    ],
)
async def test_a_connection_takes_the_tools_it_was_told(choices: dict[str, Any], shown: list[str]) -> None:
    env = Environment("near").connect(to(Server("add", "sub", "_reset", "_hud_submit")), **choices)
    assert await names(env) == shown


async def test_a_call_reaches_the_tool_by_the_name_it_has_there() -> None:
    server = Server("add", "fails")
    env = Environment("near").connect(
        to(server), prefix="far", transform=lambda tool: evolve(tool, name=f"my_{tool.name}", description="mine")
    )
    async with opening(env) as session:
        result = await session.tools.call_tool(ToolCall("far_my_add", {"a": 1}, id="c1"))
        failed = await session.call_tool("far_my_fails")
        missing = await session.call_tool("add")
    assert (result.text, result.call_id, server.calls[0]) == ("add:{'a': 1}", "c1", ("add", {"a": 1}))
    assert failed.is_error
    assert missing.text == "unknown tool 'add'; there are far_my_add, far_my_fails"


async def test_what_is_not_taken_cannot_be_called_nor_is_it_named() -> None:
    server = Server("add", "secret")
    env = Environment("near").connect(to(server), exclude=["secret"])
    async with opening(env) as session:
        excluded = await session.call_tool("secret")
        server.tools.remove("add")  # without a word
        gone = await session.call_tool("add")
    assert excluded.is_error
    assert "secret" not in excluded.text.partition(";")[2]
    assert gone.is_error
    assert "secret" not in gone.text
    assert server.calls == []


@pytest.mark.parametrize("verb", ["include", "exclude"])
async def test_a_name_to_include_or_exclude_must_exist(verb: str) -> None:
    env = Environment("near").connect(to(Server("search", "fetch")), **{verb: ["serch"]})
    with pytest.raises(ConfigError, match=rf"'far' has no tool 'serch' to {verb}; did you mean 'search'\?; it has"):
        await names(env)


async def test_servers_of_one_configuration_share_what_is_included() -> None:
    env = Environment("near")
    config = {"mcpServers": {"a": {"url": "http://a.test/mcp"}, "b": {"command": "b"}}}
    env.connect_mcp_config(config, include=["add", "sub"])
    servers = {"a": Server("add", "x"), "b": Server("sub", "y")}
    for name, server in servers.items():
        env.connections[name] = evolve(env.connections[name], ref=to(server, name))
    assert await names(env) == ["add", "sub"]
    servers["b"].tools = []
    with pytest.raises(ConfigError, match="no tool 'sub' to include"):
        await names(env)


@pytest.mark.parametrize(
    ("transform", "says"),
    [(lambda tool: 1 / 0, "ZeroDivisionError"), (lambda tool: "add", "must return a Tool or None")],
)
async def test_a_transform_that_is_wrong_says_where(transform: Any, says: str) -> None:
    env = Environment("near").connect(to(Server("add")), transform=transform)
    with pytest.raises(ConfigError, match=f"connection 'far': transform .*{says}"):
        await names(env)


async def test_a_transform_cannot_change_the_servers_own_tool() -> None:
    own = Environment("own")

    @own.tool
    def add(a: int) -> int:
        return a

    def emptied(tool: Tool) -> Tool:
        tool.input_schema.clear()
        return tool

    connection = Connection(name="own", ref=EnvRef("own"), transform=emptied)
    near = Environment("near")
    near.connections["own"] = connection
    session = near.session()
    await session.join({"own": own.session()})
    assert [tool.input_schema for tool in await session.list_tools()] == [{}]
    assert own.as_tools()[0].input_schema["properties"]


# --- conflicts --------------------------------------------------------------------------------------------------------


def test_an_unknown_way_to_settle_conflicts_names_those_there_are() -> None:
    says = "must be one of 'prefix', 'first_wins', 'last_wins', 'error', got 'frist_wins'"
    with pytest.raises(DefinitionError, match=says):
        Environment("near", conflict_resolution="frist_wins")


@pytest.mark.parametrize(
    ("strategy", "shown", "reached"),
    [
        ("prefix", ["mine", "only", "a_mine", "a_both", "my_server_both", "_a_both", "_my_server_both"], None),
        ("first_wins", ["mine", "only", "both", "_both"], "a"),
        ("last_wins", ["mine", "only", "both", "_both"], "my server"),
    ],
)
async def test_conflicts_are_settled_as_the_environment_says(
    strategy: str, shown: list[str], reached: str | None
) -> None:
    servers = {"a": Server("mine", "both", "only", "_both"), "my server": Server("both", "_both")}
    env = Environment("near", conflict_resolution=strategy)
    for name, server in servers.items():
        env.connect(to(server, name))

    @env.tool
    def mine() -> str:
        return "local"

    assert sorted(await names(env)) == sorted(shown)
    assert await call(env, "mine") == "local"
    if reached is None:
        await call(env, "my_server_both")
        await call(env, "a_mine")
        assert [name for name, _ in servers["my server"].calls] == ["both"]
        assert [name for name, _ in servers["a"].calls] == ["mine"]
    else:
        await call(env, "both")
        assert [bool(server.calls) for server in servers.values()] == [name == reached for name in servers]


async def test_conflicts_can_be_errors() -> None:
    env = connected_to(a=Server("both"), b=Server("both"))
    env.conflict_resolution = type(env.conflict_resolution)("error")
    with pytest.raises(ConfigError, match="'both' is offered by the connections 'a' and 'b'"):
        await names(env)


@pytest.mark.parametrize(
    ("tools", "transform", "says"),
    [
        (["both", "b_both"], None, "'b_both', which is taken"),
        (["x", "y"], lambda tool: evolve(tool, name="z"), "connection 'a' has two tools 'z'"),
    ],
)
async def test_names_that_no_strategy_settles_are_errors(tools: list[str], transform: Any, says: str) -> None:
    env = Environment("near").connect(to(Server(*tools), "a"), transform=transform).connect(to(Server("both"), "b"))
    with pytest.raises(ConfigError, match=says):
        await names(env)


NAMES = st.sampled_from(["a", "b", "_a", "one_a", "two__a", "x"])
OFFERS = st.dictionaries(st.sampled_from(["one", "two", "three 3"]), st.sets(NAMES), max_size=3)


@given(OFFERS, st.sets(NAMES), st.sampled_from(ConflictResolution))
def test_names_are_given_once_and_lead_where_they_say(
    offers: dict[str, set[str]], local: set[str], strategy: ConflictResolution
) -> None:
    claims = [Route(source, Tool(name=name), name) for source, names in offers.items() for name in sorted(names)]
    try:
        routes = routed(TOOLS, local, claims, strategy)
    except ConfigError:
        assert strategy in ("prefix", "error")
        return
    assert not routes.keys() & local
    assert all(route.item.name == name and route.remote in offers[route.source] for name, route in routes.items())
    assert all(name.startswith("_") == route.remote.startswith("_") for name, route in routes.items())
    offered = {(source, name) for source, names in offers.items() for name in names}
    reached = {(route.source, route.remote) for route in routes.values()}
    assert len(reached) == len(routes)
    if strategy == "prefix":
        assert reached == offered
    else:
        assert {name for _, name in offered} - local == routes.keys()


# --- changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells", [True, False])
async def test_a_list_that_changes_is_followed(tells: bool) -> None:
    server = Server("old", tells_changes=tells)
    async with opening(connected_to(far=server)) as session:
        assert (await session.call_tool("new")).is_error
        server.change("new")
        assert (await session.call_tool("new")).text == "new:{}"
        assert [tool.name for tool in await session.list_tools()] == ["new"]


async def test_a_list_that_has_not_changed_is_not_asked_for_again() -> None:
    server = Server("add")
    async with opening(connected_to(far=server)) as session:
        for _ in range(3):
            await session.list_tools()
            await session.call_tool("add")
    assert server.listed == 1


async def test_a_change_that_fits_no_more_is_the_backends_failure() -> None:
    a, b = Server("x"), Server("y")
    env = connected_to(a=a, b=b)
    env.conflict_resolution = type(env.conflict_resolution)("error")
    async with opening(env) as session:
        b.change("x")
        with pytest.raises(BackendError, match="the tools of a connection changed: tool 'x' is offered"):
            await session.list_tools()


# --- what the agent sees ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["mine", "one", "two", "three"]),
        ({"exclude_sources": ["a"]}, ["mine", "three"]),
        ({"exclude_sources": ["a"], "allowed_tools": ["t*"]}, ["mine", "two", "three"]),
        ({"exclude_sources": ["__local__", "b"]}, ["one", "two"]),
        ({"exclude_tools": ["t*"]}, ["mine", "one"]),
    ],
)
async def test_a_scenario_hides_tools_from_agents_and_not_from_itself(
    options: dict[str, Any], shown: list[str]
) -> None:
    env = connected_to(a=Server("one", "two", "_internal"), b=Server("three"))
    every = ["mine", "one", "two", "three", "_internal"]

    @env.tool
    def mine() -> str:
        return "mine"

    @env.scenario(**options)
    async def ask():
        for name in every:
            await env.call_tool(name)
        yield "?"
        for name in every:
            await env.call_tool(name)
        yield 1.0

    seen: dict[str, Any] = {}

    class Curious(Agent):
        name = "curious"

        async def run(self, prompt, toolbox, *, max_steps):
            seen["listed"] = [tool.name for tool in await toolbox.list_tools()]
            seen["called"] = [name for name in every if not (await toolbox.call_tool(name)).is_error]
            seen["refusal"] = (await toolbox.call_tool("nothing")).text
            return ""

    rollout = await one(env, Curious())
    assert (rollout.error, rollout.reward) == (None, 1.0)
    assert seen["listed"] == seen["called"] == shown
    assert seen["refusal"] == f"unknown tool 'nothing'; there are {', '.join(shown)}"


async def test_tools_that_come_later_are_hidden_as_well() -> None:
    server = Server("one")
    env = connected_to(a=server, b=Server("two"))
    scenario(env, exclude_sources=["a"])
    async with opening(env) as session:
        await session.setup("ask", {})
        server.change("one", "late")
        assert [tool.name for tool in await session.tools.list_tools()] == ["two"]
        assert (await session.tools.call_tool(ToolCall("late"))).is_error


async def test_a_source_to_exclude_must_be_a_connection() -> None:
    env = connected_to(browser=Server("one"))
    scenario(env, exclude_sources=["brwser"])
    rollout = await one(env)
    assert rollout.cause is Cause.SETUP
    assert "exclude_sources names 'brwser', and 'near' has no such connection; did you mean 'browser'?" in rollout.error


def reachable(thing: object, depth: int = 6) -> list[object]:
    """Give what can be had from an object by its attributes, items and closures, short of modules and functions."""
    found, waiting = [], [(thing, 0)]
    seen: set[int] = set()
    while waiting:
        value, far = waiting.pop()
        if id(value) in seen or far > depth or isinstance(value, type) or callable(value):
            continue
        seen.add(id(value))
        found.append(value)
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [getattr(value, name, None) for name in slots] + list(getattr(value, "__dict__", {}).values())
        if isinstance(value, dict):
            inner += [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            inner += list(value)
        waiting += [(item, far + 1) for item in inner]
    return found


async def test_the_tools_know_no_reference_and_no_session() -> None:
    env = connected_to(far=Server("one"))
    scenario(env)
    async with opening(env) as session:
        await session.setup("ask", {})
        found = reachable(session.tools)
    assert any(isinstance(value, Tool) for value in found)
    assert not [value for value in found if isinstance(value, EnvRef | Connection | Environment | type(session))]


# --- scenario code ----------------------------------------------------------------------------------------------------


async def test_scenarios_and_tools_call_connected_tools() -> None:
    server = Server("far")
    env = connected_to(a=server)

    @env.tool
    async def through(text: str) -> str:
        return (await env.call_tool("far", text=text)).text

    @env.scenario()
    async def ask():
        yield (await env.call_tool("far", text="setup")).text
        assert sorted(tool.name for tool in await env.list_tools()) == ["far", "through"]
        yield {"reward": 1.0, "content": (await env.call_tool("through", text="grading")).text}

    agent = ScriptedAgent([("through", {"text": "agent"})])
    rollout = await one(env, agent)
    assert (rollout.error, rollout.evaluation.content) == (None, "far:{'text': 'grading'}")
    assert [arguments["text"] for _, arguments in server.calls] == ["setup", "agent", "grading"]
    assert [result.text for result in agent.results] == ["far:{'text': 'agent'}"]


async def test_a_scenario_is_closed_while_its_connections_are_open() -> None:
    server = Server("far")
    env = connected_to(a=server)

    @env.scenario()
    async def ask(fails: bool = False):
        try:
            yield "?"
            assert not fails
            yield 1.0
        finally:
            await env.call_tool("far")
            server.log.append("scenario left")

    for task in (env("ask"), env("ask", fails=True)):
        await run(task, ScriptedAgent(), kernel=far_kernel(), save=False)
    assert server.log == ["scenario left", "closed"] * 2


async def test_a_rollout_that_is_cancelled_cleans_up_over_its_connections() -> None:
    server = Server("far")
    env = connected_to(a=server)
    started = anyio.Event()

    @env.scenario()
    async def ask():
        try:
            started.set()
            yield await anyio.sleep_forever()
        finally:
            server.log.append((await env.call_tool("far")).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, env)
        await started.wait()
        tasks.cancel_scope.cancel()
    assert server.log == ["far:{}", "closed"]
    assert server.open == 0


async def test_scenarios_of_connections_run_there() -> None:
    env = connected_to(
        a=Server("far", scenarios=("letters:count", "letters:same")), b=Server(scenarios=("words:same",))
    )
    scenario(env)
    kernel = far_kernel()
    for name in ("letters:count", "a:count", "count"):
        job = await run(env(name, word="x"), ScriptedAgent([("far", {})], "far"), kernel=kernel, save=False)
        assert (job.rollouts[0].error, job.rollouts[0].reward) == (None, 1.0)
    for name, says in [
        ("same", "at each of its connections 'a' and 'b'"),
        ("cuont", "no scenario 'cuont'; did you mean 'count'?; it has ask, letters:count, letters:same"),
        ("letters:ask", "no scenario 'letters:ask'"),
    ]:
        job = await run(env(name), ScriptedAgent(), kernel=kernel, save=False)
        assert job.rollouts[0].cause is Cause.SETUP
        assert says in job.rollouts[0].error


async def test_another_environment_of_this_process_is_opened_as_one() -> None:
    """Without a protocol: with its state, its hooks once for all rollouts, and its own connections."""
    done: list[str] = []
    server = Server("far")
    other = Environment("other").connect(to(server), prefix="x")
    other.initialize(lambda: done.append("up"))
    other.shutdown(lambda: done.append("down"))

    @other.tool
    async def through(text: str) -> str:
        return (await other.call_tool("x_far", text=text)).text

    @other.tool
    async def hidden() -> str:
        return "hidden"

    @other.scenario("count", exclude_tools=["hidden"])
    async def count(word: str):
        try:
            answer = yield (await other.call_tool("through", text=word)).text
            yield float(answer == await other_length(word))
        finally:
            done.append("scenario left")

    async def other_length(word: str) -> str:
        assert (await other.call_tool("hidden")).text == "hidden"
        return str(len(word))

    env = Environment("near").connect_server(other, prefix="o")
    scenario(env)
    calls = [("o_through", {"text": "t"}), ("o_x_far", {}), ("o_hidden", {})]
    agent = ScriptedAgent(calls, "3")
    tasks = [env("other:count", word="abc")] * 2
    job = await run(tasks, agent, kernel=far_kernel(), save=False, max_concurrent=1)
    assert [(rollout.error, rollout.reward) for rollout in job] == [(None, 1.0)] * 2
    assert [result.is_error for result in agent.results] == [False, False, True] * 2
    assert sorted(done) == ["down", "scenario left", "scenario left", "up"]
    assert server.open == 0


# --- opening and closing ----------------------------------------------------------------------------------------------


async def test_each_rollout_has_connections_of_its_own_and_leaves_none() -> None:
    server, full = Server("far"), anyio.Event()
    most = 0

    class Looking(Agent):
        name = "looking"

        async def run(self, prompt, toolbox, *, max_steps):
            nonlocal most
            if server.open == 3:
                full.set()
            await full.wait()
            await anyio.sleep(0.01)
            most = max(most, server.open)
            return "yes"

    env = connected_to(a=server)
    scenario(env)
    with anyio.fail_after(60):
        job = await run([env("ask")] * 6, Looking(), kernel=far_kernel(), save=False, max_concurrent=3)
    assert [rollout.reward for rollout in job] == [1.0] * 6
    assert (most, server.open) == (3, 0)


@pytest.mark.parametrize("error", [BackendError("refused at 10.0.0.1"), OSError("no route")])
async def test_one_that_cannot_be_opened_ends_the_others_and_says_so(error: Exception) -> None:
    bad, good, slow = Server(), Server("far"), Server("far")
    bad.fails, slow.opening = error, 60.0
    env = connected_to(good=good, slow=slow, bad=bad)
    scenario(env)
    rollout = await one(env)
    assert rollout.cause is Cause.BACKEND
    assert len(rollout.attempts) == 1
    assert "connection 'bad' of environment 'near' cannot be opened" in rollout.error
    assert str(error) in rollout.error
    assert (good.open, slow.open) == (0, 0)


async def test_what_can_never_be_opened_is_tried_once() -> None:
    env = Environment("near").connect_image("acme/tool:1")
    scenario(env)
    rollout = await one(env)
    assert "connection 'acme/tool:1'" in rollout.error
    assert "no backend 'docker' is installed; pip install hud-docker" in rollout.error
    assert rollout.attempts == ()


async def test_opening_that_takes_too_long_ends_with_the_phase() -> None:
    slow = Server("far")
    slow.opening = 60.0
    env = connected_to(slow=slow)
    scenario(env)
    rollout = await one(env, timeouts=Timeouts(open=0.05))
    assert rollout.cause is Cause.TIMEOUT


async def test_a_rollout_that_is_cancelled_ends_though_a_connection_goes_on_to_open() -> None:
    stubborn = Server("far")
    stubborn.opening, stubborn.opens_whatever_happens = 0.05, True
    env = connected_to(stubborn=stubborn, quick=Server("far"))
    scenario(env)
    is_through = False

    async def attempt() -> None:
        nonlocal is_through
        await one(env)
        is_through = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attempt)
        await stubborn.begun.wait()
        tasks.cancel_scope.cancel()
    assert not is_through
    assert stubborn.log == ["closed"]


async def test_a_connection_that_is_lost_takes_the_rollout_with_it() -> None:
    server = Server("far")

    class Losing(Agent):
        name = "losing"

        async def run(self, prompt, toolbox, *, max_steps):
            server.lost.set()
            await anyio.sleep(30)
            return "yes"

    env = connected_to(a=server)
    scenario(env)
    rollout = await one(env, Losing())
    assert (rollout.cause, rollout.reward) == (Cause.BACKEND, None)
    assert "connection 'a' of environment 'near' was lost" in rollout.error
    assert "the line went dead" in rollout.error
    assert server.open == 0


async def test_a_session_whose_connections_nobody_opened_says_so() -> None:
    env = connected_to(a=Server("far"))
    scenario(env)
    for name in ("ask", "other"):
        with pytest.raises(ConfigError, match=r"has connections \(a\) that are not open"):
            await env.session().setup(name, {})


async def test_a_caller_who_drives_has_them_too() -> None:
    server = Server("far")
    env = connected_to(a=server)
    scenario(env)
    async with evaluate(env("ask"), kernel=far_kernel()) as ctx:
        assert [tool.name for tool in await ctx.list_tools()] == ["far"]
        assert (await ctx.call_tool("far", a=1)).text == "far:{'a': 1}"
        await ctx.submit("yes")
    assert (ctx.reward, server.open) == (1.0, 0)


async def test_a_caller_who_drives_is_told_that_one_was_lost() -> None:
    server = Server("far")
    env = connected_to(a=server)
    scenario(env)

    async def drive() -> None:
        async with evaluate(env("ask"), kernel=far_kernel()):
            server.lost.set()
            await anyio.sleep(30)

    with pytest.raises(BackendError, match="the line went dead"):
        await drive()
    assert server.open == 0


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake backend be what is installed."""
    monkeypatch.setattr("hud_core.job.backends.Kernel", far_kernel)


@pytest.mark.usefixtures("installed")
async def test_an_environment_that_is_entered_calls_its_connections() -> None:
    server = Server("far", "_internal")
    env = connected_to(a=server)

    @env.tool
    def near() -> str:
        return "near"

    async with env:
        assert (await env.call_tool("far", a=1)).text == "far:{'a': 1}"
        assert [tool.name for tool in env.as_tools()] == ["near", "far"]
        async with env:
            assert server.open == 2
        assert [tool.name for tool in await env.list_tools()] == ["near", "far", "_internal"]
        with pytest.raises(ToolError, match="unknown tool 'nope'"):
            await env.call_tool("nope")
    assert server.open == 0
    assert [tool.name for tool in env.as_tools()] == ["near"]
    with pytest.raises(ToolError, match="unknown tool 'far'"):
        await env.call_tool("far")


@pytest.mark.usefixtures("installed")
async def test_entering_from_two_tasks_at_once_closes_what_each_opened() -> None:
    server = Server("far")
    env = connected_to(a=server)

    async def use(seconds: float) -> None:
        async with env:
            await anyio.sleep(seconds)
            await env.call_tool("far")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use, 0.02)
        tasks.start_soon(use, 0.06)
    assert (server.open, len(server.calls)) == (0, 2)


@pytest.mark.usefixtures("installed")
async def test_entering_that_fails_shuts_down_what_was_initialised() -> None:
    server = Server()
    server.fails = BackendError("refused")
    env = connected_to(a=server)
    done: list[str] = []
    env.initialize(lambda: done.append("up"))
    env.shutdown(lambda: done.append("down"))
    with pytest.raises(BackendError, match=r"connection 'a' .* refused"):
        async with env:
            pytest.fail("it cannot be open")
    assert done == ["up", "down"]


# --- declaring --------------------------------------------------------------------------------------------------------


def options_of(env: Environment) -> dict[str, Any]:
    (connection,) = env.connections.values()
    assert connection.ref.backend == "mcp"
    return connection.ref.options


def test_ways_to_connect_build_references() -> None:
    app = type("App", (), {"title": "shop"})()
    url = "https://user:pw@api.test/mcp?key=1"
    assert options_of(Environment().connect_url(url, headers={"X-A": "1"})) == {"url": url, "headers": {"X-A": "1"}}
    assert list(Environment().connect_url(url).connections) == ["https://api.test/mcp"]
    assert options_of(Environment().connect_fastapi(app, include_hidden=False))["include_hidden"] is False
    assert list(Environment().connect_fastapi(app).connections) == ["shop"]
    assert list(Environment().connect_server(Environment("Other One")).connections) == ["other-one"]
    spec = {"info": {"title": "pets"}}
    assert options_of(Environment().connect_openapi(spec, base_url="http://x.test", timeout=3.0)) == {
        "openapi": spec,
        "base_url": "http://x.test",
        "timeout": 3.0,
    }
    hub = Environment().connect_hub("acme/browser", alias="web").connections["web"].ref
    assert (hub.backend, hub.options) == ("platform", {"slug": "acme/browser"})
    image = Environment().connect_image("a:1", docker_args=["--init"], env_vars={"A": "b"}).connections["a:1"].ref
    options = {"image": "a:1", "env_file": True, "docker_args": ["--init"], "env_vars": {"A": "b"}}
    assert image == EnvRef("a:1", "docker", options)
    more = {"egress": ["pypi.org"], "env_file": False, "image": "b:1"}
    image = Environment().connect_image("a:1", options=more).connections["a:1"].ref
    assert image == EnvRef("a:1", "docker", {"image": "a:1", "env_file": False, "egress": ["pypi.org"]})


def test_values_of_variables_are_in_no_digest_and_other_arguments_of_docker_are():
    def made(*args):
        return Environment("near").connect_image("a:1", docker_args=args).digest()

    for one, other in ((["-e", "A=b"], ["-e", "A=c"]), (["-eA=b"], ["-eA=c"]), (["--env=A=b"], ["--env=A=c"])):
        assert made(*one) == made(*other)
    assert len({made("-e", "A=b"), made("-e", "B=b"), made("-v", "/a:/b"), made("-v", "/a:/c"), made()}) == 5


@pytest.mark.parametrize(
    ("server", "options"),
    [
        ({"command": "npx", "args": ["x"], "env": {"A": "1"}, "type": "stdio", "disabled": False},
         {"command": "npx", "args": ["x"], "env": {"A": "1"}}),
        ({"url": "http://h.test", "auth": "tok"}, {"url": "http://h.test", "headers": {"Authorization": "Bearer tok"}}),
        ({"url": "http://h.test", "auth": "Bearer tok", "headers": {"Authorization": "mine"}},
         {"url": "http://h.test", "headers": {"Authorization": "mine"}}),
        ({"command": "x", "connect_timeout": 5}, {"command": "x", "connect_timeout": 5}),
    ],
)  # fmt: skip
def test_configurations_of_servers_are_read(server: dict[str, Any], options: dict[str, Any]) -> None:
    for config in ({"files": server}, {"mcpServers": {"files": server}}):
        assert options_of(Environment().connect_mcp(config)) == options


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda env: env.connect_mcp({"a": {}}), "'a' must have either a 'command' or a 'url'"),
        (lambda env: env.connect_mcp({"a": {"command": "x", "args": "y"}}), "'args' is of the wrong type, str"),
        (lambda env: env.connect_mcp({"a": {"url": "http://x", "auth": "oauth"}}), "'auth' must be a token"),
        (lambda env: env.connect_mcp({"a": {"command": "x"}, "b": {"command": "y"}}), "takes one server, got 2"),
        (lambda env: env.connect_mcp_config({}), "without any"),
        (lambda env: env.connect_mcp_config([]), "got list without any"),
        (lambda env: env.connect_url("localhost:8765/mcp"), "http:// or https://"),
        (lambda env: env.connect_url("http://x", prefx="a"), "unknown prefx; there are prefix"),
        (lambda env: env.connect_url("http://x", include="add"), "lists of tool names, got the str 'add'"),
        (lambda env: env.connect_openapi(5), "is a dict, a file or an address, got int 5"),
        (lambda env: env.connect_url("http://x", prefix="a b"), "a connection's prefix is"),
        (lambda env: env.connect_openapi({}, base_url="x.test"), "http:// or https://"),
        (lambda env: env.connect("http://x"), "takes an EnvRef or an Environment, got str"),
        (lambda env: env.connect(env), "'near' cannot be connected to itself"),
        (lambda env: env.connect(Environment("b").connect(Environment("c").connect_server(env))), "itself, as 'b'"),
        (lambda env: env.connect(EnvRef("__local__")), "cannot have another connection '__local__'"),
        (lambda env: env.connect_url("http://x").connect_url("http://x"), "give this one a name of its own: alias="),
    ],
)
def test_what_is_declared_wrongly_is_refused_at_once(how: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        how(Environment("near"))


def test_of_several_servers_all_are_joined_or_none() -> None:
    env = Environment("near").connect_url("http://x.test", alias="b")
    with pytest.raises(DefinitionError):
        env.connect_mcp_config({"a": {"command": "x"}, "b": {"command": "y"}})
    assert list(env.connections) == ["b"]


def test_secrets_are_in_no_repr() -> None:
    env = Environment("near").connect_url("http://u:hunter2@x.test/mcp?k=hunter2", headers={"Authorization": "hunter2"})
    assert "hunter2" not in f"{env!r} {env.connections!r}"
    assert "x.test" in repr(env)


# --- fingerprints -----------------------------------------------------------------------------------------------------


def fingerprint(**how: Any) -> str | None:
    env = Environment("near")
    env.connect_url(**{"url": "http://x.test/mcp", "alias": "x", "headers": {"A": "secret"}, **how})
    scenario(env)
    return Fingerprints().of(env("ask"), ScriptedAgent()).environment


def test_a_fingerprint_tells_where_connections_lead_and_what_they_take() -> None:
    bare = Environment("near")
    scenario(bare)
    alone = Fingerprints().of(bare("ask"), ScriptedAgent()).environment
    others = [
        {"url": "http://y.test/mcp"}, {"alias": "y"}, {"prefix": "p"}, {"include": ["a"]}, {"exclude": ["a"]},
        {"transform": lambda tool: None}, {"headers": {"B": "secret"}}, {"timeout": 3.0},
    ]  # fmt: skip
    assert len({alone, fingerprint(), *(fingerprint(**other) for other in others)}) == len(others) + 2


def test_a_fingerprint_holds_while_only_a_secret_changes() -> None:
    assert fingerprint() == fingerprint(headers={"A": "other"}) == fingerprint(url="http://me:pw@x.test/mcp?key=2")


def test_a_fingerprint_covers_an_environment_that_is_connected() -> None:
    def made(tool: str, score: str) -> str:
        other = Environment("other")
        code = f"def tool() -> str:\n    return {tool!r}\nasync def ask():\n    yield '?'\n    yield {score}\n"
        names: dict[str, Any] = {}
        exec(code, names)
        other.tool(names["tool"])
        other.scenario()(names["ask"])
        return Environment("near").connect(other).digest()

    assert made("a", "1.0") == made("a", "1.0")
    assert len({made("a", "1.0"), made("b", "1.0"), made("a", "0.5"), Environment("near").digest()}) == 4


async def test_a_run_that_goes_on_runs_again_what_a_connection_changed(tmp_path: Path) -> None:
    server = Server("far")

    async def again(**choices: Any) -> int:
        env = Environment("near").connect(EnvRef("far", "far", {"server": server}), **choices)
        scenario(env)
        before = len(server.log)
        await run(env("ask"), ScriptedAgent(answer="yes"), kernel=far_kernel(), directory=tmp_path, resume=bool(before))
        return len(server.log) - before

    assert [await again(), await again(), await again(prefix="p"), await again(prefix="p")] == [1, 0, 1, 0]
