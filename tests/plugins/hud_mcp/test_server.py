"""An environment served in memory, to the SDK's own client, in both protocol eras."""

from __future__ import annotations

import json
from functools import partial

import anyio
import pytest
from mcp import Client, MCPError
from pydantic import BaseModel
from serving import PIXEL, Log, make_environment

import hud_core
from hud_core import Environment, EnvRef, Task, run
from hud_core.errors import ConfigError
from hud_core.failures import current_listener
from hud_core.testing import ScriptedAgent
from hud_mcp.server import EnvironmentServer


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


def connect(server, mode):
    return Client(server.lowlevel, mode=mode)


async def rollout(client, scenario, answer=None, meta=None, **arguments):
    prompt = await client.get_prompt(f"letters:{scenario}", arguments, meta=meta)
    handle = {**(meta or {}), "hud/episode": prompt.meta["hud/episode"]}
    if answer is not None:
        await client.call_tool("_hud_submit", {"scenario": scenario, "answer": answer}, meta=handle)
    result = await client.read_resource(f"letters:{scenario}", meta=handle)
    return json.loads(result.contents[0].text)


# --- tools ------------------------------------------------------------------------------------------------------------


async def test_tools_are_listed_with_the_schemas_of_the_environment(mode):
    env = make_environment()
    async with connect(EnvironmentServer(env), mode) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(listed) == ["add", "boom", "gallery", "wait"]
    assert listed["add"].input_schema == env.tool_functions["add"].tool.input_schema
    assert listed["add"].description == "Add two numbers."


async def test_a_call_outside_any_episode_works(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        result = await client.call_tool("add", {"a": 2, "b": 3})
    assert result.content[0].text == "5"
    assert result.structured_content == {"result": 5}
    assert not result.is_error


async def test_arguments_are_checked_by_the_codec_of_the_kernel(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        result = await client.call_tool("add", {"a": "2", "c": 3})
    assert result.is_error
    assert "'a'" in result.content[0].text
    assert "'c'" in result.content[0].text


async def test_a_failing_and_an_unknown_tool_are_results(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        failed = await client.call_tool("boom", {})
        unknown = await client.call_tool("nope", {})
    assert failed.is_error
    assert "the tool broke" in failed.content[0].text
    assert unknown.is_error
    assert "there are add, boom, gallery, wait" in unknown.content[0].text
    assert "_secret" not in unknown.content[0].text


async def test_content_of_every_kind_arrives(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        blocks = (await client.call_tool("gallery", {})).content
    assert [block.type for block in blocks] == ["text", "image", "audio", "resource", "resource", "resource_link"]
    assert blocks[1].data == PIXEL
    assert blocks[3].resource.text == "a note"
    assert blocks[4].resource.blob == "AAA="
    assert blocks[5].uri == "https://example.test/page"


async def test_a_cancelled_call_stops_the_tool(mode):
    log = Log()
    async with connect(EnvironmentServer(make_environment(log)), mode) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "wait", {})
            while not log.lines:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            while log.lines != ["waiting", "no longer waiting"]:
                await anyio.sleep(0.01)


async def test_a_server_says_who_it_is(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        assert client.server_info.name == "letters"
        assert client.server_info.version == hud_core.__version__
    async with connect(EnvironmentServer(make_environment(), name="Letters", version="7.1"), mode) as client:
        assert (client.server_info.name, client.server_info.version) == ("Letters", "7.1")


# --- scenarios --------------------------------------------------------------------------------------------------------


async def test_a_scenario_is_set_up_answered_and_graded(mode):
    log = Log()
    async with connect(EnvironmentServer(make_environment(log)), mode) as client:
        assert await rollout(client, "count", "3", word="strawberry") == {
            "reward": 1.0,
            "done": True,
            "info": {},
            "isError": False,
        }
        assert (await rollout(client, "count", "2", word="strawberry"))["reward"] == 0.0
        assert not log.open


async def test_a_client_that_knows_no_handles_has_one_episode_at_a_time(mode):
    log = Log()
    async with connect(EnvironmentServer(make_environment(log)), mode) as client:
        await client.get_prompt("letters:count", {"word": "aaa", "letter": "a"})
        await client.get_prompt("letters:count", {"word": "bb", "letter": "b"})
        await client.call_tool("_hud_submit", {"scenario": "count", "answer": "2"})
        graded = await client.read_resource("letters:count")
        assert json.loads(graded.contents[0].text)["reward"] == 1.0
        with pytest.raises(MCPError, match="no episode of scenario 'count' is open"):
            await client.read_resource("letters:count")
        assert not log.open


@pytest.mark.parametrize(
    "answer",
    ["3", "", "null", '{"a": 1}', '"quoted"', "[1, 2]", " spaced \n", "naïve ünïcode 🍓", "1e400", "x" * 70000],
)
async def test_answers_arrive_verbatim(mode, answer):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        graded = await rollout(client, "echo", answer, expected=answer)
    assert graded["info"] == {"got": answer}
    assert graded["reward"] == 1.0


@pytest.mark.parametrize(
    ("answer", "meta"),
    [
        ('{"name": "Paris", "people": 2}', {}),
        ({"name": "Paris", "people": 2}, {}),
        ("", {"hud/answer": {"text": "Paris", "structured": {"name": "Paris", "people": 2}}}),
    ],
)
async def test_a_typed_answer_is_graded(mode, answer, meta):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompt = await client.get_prompt("letters:city")
        assert prompt.meta["returns_schema"]["required"] == ["name", "people"]
        handle = {"hud/episode": prompt.meta["hud/episode"]}
        await client.call_tool("_hud_submit", {"scenario": "city", "answer": answer}, meta={**handle, **meta})
        graded = json.loads((await client.read_resource("letters:city", meta=handle)).contents[0].text)
    assert graded["reward"] == 1.0
    assert graded["content"] == "as a city"
    assert graded["subscores"] == [{"name": "name", "weight": 1.0, "value": 1.0}]


async def test_an_answer_that_does_not_fit_its_type_scores_zero_and_says_why(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        graded = await rollout(client, "city", "It is Paris.")
    assert graded["reward"] == 0.0


async def test_a_prompt_keeps_its_roles_and_images(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompt = await client.get_prompt("letters:picture")
    assert [(message.role, message.content.type) for message in prompt.messages] == [
        ("user", "text"),
        ("user", "text"),
        ("user", "image"),
        ("assistant", "text"),
    ]
    assert prompt.messages[2].content.data == PIXEL
    assert prompt.meta["hud/messages"] == [["system", 1], ["user", 2], ["assistant", 1]]


async def test_a_harness_ends_an_episode_without_a_grade(mode):
    log = Log()
    async with connect(EnvironmentServer(make_environment(log)), mode) as client:
        prompt = await client.get_prompt("letters:count", {"word": "a"})
        meta = {"hud/episode": prompt.meta["hud/episode"], "hud/close": True}
        await client.call_tool("_hud_submit", {"scenario": "count", "answer": ""}, meta=meta)
        with anyio.fail_after(60):
            while log.open:
                await anyio.sleep(0.01)


async def test_text_arguments_are_read_by_their_types(mode):
    arguments = {
        "number": "3",
        "share": "2",
        "flag": "true",
        "colour": "red",
        "cities": '[{"name": "Rome", "people": 3}]',
        "note": "5",
        "anything": "[1]",
    }
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompt = await client.get_prompt("letters:typed", arguments)
    assert prompt.messages[0].content.text == "(3, 2.0, True, <Colour.RED: 'red'>, 'Rome', '5', [1])"


async def test_wrong_arguments_are_all_named(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        with pytest.raises(MCPError, match="scenario 'typed'") as raised:
            await client.get_prompt("letters:typed", {"number": "three", "odd": "1"})
    assert raised.value.error.data["hud/error"] == "ArgumentError"
    problems = raised.value.error.data["hud/problems"]
    assert any("'number'" in problem for problem in problems)
    assert any("'odd'" in problem for problem in problems)
    assert any("'cities'" in problem for problem in problems)


@pytest.mark.parametrize(
    ("scenario", "text", "kind"),
    [
        ("bad_grade", "the grader broke", "RuntimeError"),
        ("no_grade", "ended without a second yield", "GraderError"),
    ],
)
async def test_a_failing_grade_says_what_failed_and_is_no_zero(mode, scenario, text, kind):
    log = Log()
    async with connect(EnvironmentServer(make_environment(log)), mode) as client:
        with pytest.raises(MCPError, match=text) as raised:
            await rollout(client, scenario, "x")
        assert raised.value.error.data["hud/error"] == kind
        assert (await rollout(client, "count", "0", word="x"))["reward"] == 1.0


async def test_a_failing_setup_says_what_failed(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        with pytest.raises(MCPError, match="the setup broke"):
            await client.get_prompt("letters:bad_setup")
        with pytest.raises(MCPError, match="unknown prompt 'letters:nope'; there are letters:count"):
            await client.get_prompt("letters:nope")


async def test_harnesses_are_told_where_it_failed_and_agents_what(mode):
    """Each failure is also told to whoever listens, as `hud dev` does."""
    env = make_environment()

    @env.resource("note://1")
    def note() -> str:
        raise RuntimeError("no note")

    told = []
    token = current_listener.set(lambda what, error: told.append((what, str(error))))
    try:
        async with connect(EnvironmentServer(env), mode) as client:
            with pytest.raises(MCPError, match=r"the setup broke \(.*serving\.py:\d+\)$"):
                await client.get_prompt("letters:bad_setup")
            with pytest.raises(MCPError, match=r"the grader broke \(.*serving\.py:\d+\)$"):
                await rollout(client, "bad_grade", "x")
            with pytest.raises(MCPError, match=r"no note$"):
                await client.read_resource("note://1")
            result = await client.call_tool("boom", {})
            assert result.content[0].text == "tool 'boom' failed: RuntimeError: the tool broke"
            with pytest.raises(MCPError, match="unknown prompt"):
                await client.get_prompt("letters:nope")
    finally:
        current_listener.reset(token)
    assert told == [
        ("setup of scenario 'bad_setup'", "the setup broke"),
        ("grading of scenario 'bad_grade'", "the grader broke"),
        ("resource 'note://1'", "no note"),
        ("tool 'boom'", "the tool broke"),
    ]


@pytest.mark.parametrize("scenario", ["bad_setup", "bad_grade"])
async def test_a_rollout_behind_a_server_names_the_same_place_as_one_in_process(scenario):
    env = make_environment()
    ref = EnvRef("letters", "mcp", {"object": env})
    places = []
    for where in (env, ref):
        job = await run(Task(env=where, scenario=scenario, args={}), ScriptedAgent(), save=False)
        places.append(job.rollouts[0].error.rpartition(" (")[2])
    assert places[0] == places[1]
    assert "serving.py:" in places[0]


class Reply(BaseModel):
    number: int


def _read_reply(answer: str = "seven") -> str:
    return str(Reply.model_validate({"number": answer}).number)


async def test_what_does_not_fit_a_model_of_the_users_is_no_malformed_request(mode):
    env = Environment("letters")
    env.prompt("reply")(_read_reply)
    env.resource("letters://reply")(_read_reply)

    @env.scenario()
    async def graded():
        answer = yield "Go."
        yield _read_reply(answer)

    @env.scenario()
    async def set_up():
        yield _read_reply()

    async with connect(EnvironmentServer(env), mode) as client:
        for failing in (
            partial(client.get_prompt, "letters:set_up"),
            partial(rollout, client, "graded", "seven"),
            partial(client.get_prompt, "reply"),
            partial(client.read_resource, "letters://reply"),
        ):
            with pytest.raises(MCPError, match="1 validation error for Reply") as raised:
                await failing()
            assert raised.value.error.data["hud/error"] == "ValidationError"


async def test_tools_that_a_scenario_excludes_are_gone_in_its_episode_only(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompt = await client.get_prompt("letters:quiet")
        inside = {"hud/episode": prompt.meta["hud/episode"]}
        assert [tool.name for tool in (await client.list_tools(meta=inside)).tools] == ["add", "gallery"]
        refused = await client.call_tool("boom", {}, meta=inside)
        assert refused.is_error
        assert "unknown tool 'boom'" in refused.content[0].text
        await client.read_resource("letters:quiet", meta=inside)
        assert "boom" in [tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools]


async def test_scenario_code_calls_the_tools_of_the_environment(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompt = await client.get_prompt("letters:uses_tool")
    assert prompt.messages[0].content.text == "1 + 2 = 3"


async def test_a_scenario_may_hold_tasks_from_setup_to_grade(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        assert (await rollout(client, "holds_tasks", "ok"))["reward"] == 1.0
        await client.get_prompt("letters:holds_tasks")  # and is closed with its client


async def test_the_answer_of_another_scenario_is_refused(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        await client.get_prompt("letters:count", {"word": "a"})
        with pytest.raises(MCPError, match="the episode that is open is of scenario 'count', not of 'echo'"):
            await client.call_tool("_hud_submit", {"scenario": "echo", "answer": "1"})
        with pytest.raises(MCPError, match="there is no episode 'made-up'"):
            await client.read_resource("letters:count", meta={"hud/episode": "made-up"})


async def test_a_hundred_episodes_at_once_do_not_meet(mode):
    log = Log()
    rewards = {}

    async def one(client, number):
        text = f"it is {number}"
        rewards[number] = (await rollout(client, "echo", text, {"hud/arguments": {"expected": text}}))["info"]

    async with connect(EnvironmentServer(make_environment(log)), mode) as client, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, client, number)
    assert rewards == {number: {"got": f"it is {number}"} for number in range(100)}


# --- who may do what --------------------------------------------------------------------------------------------------


async def test_the_harness_is_invisible_and_unreachable_without_the_capability(mode):
    server = EnvironmentServer(make_environment(), harness="s3cret")
    harness = {"hud/harness": "s3cret"}
    async with connect(server, mode) as client:
        prompt = await client.get_prompt("letters:count", {"word": "abc"}, meta=harness)
        for meta in (None, {"hud/harness": "wrong"}, {"hud/harness": 7}):
            agent = {**(meta or {}), "hud/episode": prompt.meta["hud/episode"]}
            assert (await client.list_prompts(meta=meta, cache_mode="bypass")).prompts == []
            assert (await client.list_resources(meta=meta, cache_mode="bypass")).resources == []
            tools = (await client.list_tools(meta=agent, cache_mode="bypass")).tools
            assert not [tool.name for tool in tools if tool.name.startswith("_")]
            for name, arguments in [("_hud_submit", {"scenario": "count", "answer": "0"}), ("_secret", {})]:
                refused = await client.call_tool(name, arguments, meta=agent)
                assert refused.is_error
                assert f"unknown tool '{name}'" in refused.content[0].text
            with pytest.raises(MCPError, match="unknown prompt 'letters:count'; there are none"):
                await client.get_prompt("letters:count", {"word": "abc"}, meta=agent)
            with pytest.raises(MCPError, match="unknown resource 'letters:count'; there are none"):
                await client.read_resource("letters:count", meta=agent)
            assert (await client.call_tool("add", {"a": 1}, meta=agent)).content[0].text == "2"
        assert (await rollout(client, "count", "0", meta=harness, word="abc"))["reward"] == 1.0
        assert (await client.call_tool("_secret", {}, meta=harness)).content[0].text == "internal"


async def test_a_capability_from_the_environment_is_taken_out_of_it(mode, monkeypatch):
    monkeypatch.setenv("HUD_MCP_HARNESS", "given")
    server = EnvironmentServer(make_environment())
    import os

    assert "HUD_MCP_HARNESS" not in os.environ
    async with connect(server, mode) as client:
        assert (await client.list_prompts()).prompts == []


async def test_the_source_of_a_scenario_is_never_published(mode):
    async with connect(EnvironmentServer(make_environment()), mode) as client:
        prompts = (await client.list_prompts()).prompts
        resources = (await client.list_resources()).resources
    count = next(prompt for prompt in prompts if prompt.name == "letters:count")
    assert count.description == "[Setup] Count a letter in a word."
    assert [(argument.name, argument.required) for argument in count.arguments] == [("word", True), ("letter", False)]
    assert count.meta["arguments"][1] == {"name": "letter", "required": False, "default": "r", "type": "string"}
    for published in [*prompts, *resources]:
        text = published.model_dump_json()
        assert "yield" not in text
        assert "word.count" not in text


def test_a_tool_named_like_the_harness_is_refused():
    env = Environment("sly")
    env.tool(lambda: "", name="_hud_submit")
    with pytest.raises(ConfigError, match="tool '_hud_submit' is named like the harness's"):
        EnvironmentServer(env)


@pytest.mark.parametrize("limit", [{"max_sessions": 0}, {"episode_ttl": -1}, {"max_body": 0}])
def test_limits_must_be_positive(limit):
    with pytest.raises(ConfigError, match="must be a positive number"):
        EnvironmentServer(Environment("x"), **limit)


# --- bounds and lifetimes ---------------------------------------------------------------------------------------------


async def test_episodes_are_bounded_in_number(mode):
    log = Log()
    server = EnvironmentServer(make_environment(log), max_sessions=2)
    async with connect(server, mode) as client:
        aware = {"hud/arguments": {"word": "a"}}
        first = await client.get_prompt("letters:count", {"word": "a"}, meta=aware)
        await client.get_prompt("letters:count", {"word": "b"}, meta=aware)
        with pytest.raises(MCPError, match="2 episodes are open, and this server takes no more"):
            await client.get_prompt("letters:count", {"word": "c"}, meta=aware)
        await client.read_resource("letters:count", meta={"hud/episode": first.meta["hud/episode"]})
        await client.get_prompt("letters:count", {"word": "d"}, meta=aware)
    assert not log.open


async def test_an_episode_that_nobody_uses_is_closed(mode):
    log = Log()
    server = EnvironmentServer(make_environment(log), episode_ttl=0.1)
    async with connect(server, mode) as client:
        prompt = await client.get_prompt("letters:count", {"word": "a"})
        with anyio.fail_after(60):
            while log.open:
                await anyio.sleep(0.02)
        with pytest.raises(MCPError, match=r"nobody used it for 0\.1 s"):
            await client.read_resource("letters:count", meta={"hud/episode": prompt.meta["hud/episode"]})


async def test_an_episode_that_is_being_set_up_is_in_use(mode):
    env = Environment("slow")

    @env.scenario()
    async def slow():
        await anyio.sleep(0.5)
        yield "Ready."
        yield 1.0

    async with connect(EnvironmentServer(env, episode_ttl=0.1), mode) as client:
        prompt = await client.get_prompt("slow:slow")
        assert prompt.messages[0].content.text == "Ready."


async def test_clients_that_vanish_leave_nothing(mode):
    log = Log()
    server = EnvironmentServer(make_environment(log))
    for _ in range(20):
        async with connect(server, mode) as client:
            await client.get_prompt("letters:count", {"word": "a"})
            assert len(log.open) == 1
        assert not log.open
    assert not server._runs


async def test_a_setup_whose_client_leaves_is_closed(mode):
    env = Environment("slow")
    log = Log()

    @env.scenario()
    async def slow():
        log.lines.append("setting up")
        try:
            await anyio.sleep_forever()
            yield "never"
        finally:
            log.lines.append("closed")

    async with connect(EnvironmentServer(env), mode) as client:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.get_prompt, "slow:slow")
                while not log.lines:
                    await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            while log.lines != ["setting up", "closed"]:
                await anyio.sleep(0.01)


async def test_hooks_run_once_before_the_first_request_and_at_the_end(mode):
    env = make_environment()
    lines = []
    env.initialize(lambda: lines.append("up"))
    env.shutdown(lambda: lines.append("down"))
    async with connect(EnvironmentServer(env), mode) as client:
        for _ in range(3):
            await client.call_tool("add", {"a": 1})
        assert lines == ["up"]
    assert lines == ["up", "down"]


async def test_a_failing_initialize_is_told_and_tried_again():
    env = make_environment()
    tries = []

    @env.initialize
    async def start():
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no database")

    async with connect(EnvironmentServer(env), "auto") as client:
        with pytest.raises(MCPError, match="environment 'letters' cannot be initialised: RuntimeError: no database"):
            await client.list_tools()
        assert (await client.call_tool("add", {"a": 1})).content[0].text == "2"
    assert len(tries) == 2


# --- hot reload -------------------------------------------------------------------------------------------------------


async def test_an_exchange_serves_new_calls_anew_and_lets_old_ones_finish(mode):
    old, new = Environment("swap"), Environment("swap")
    lines = []
    release = anyio.Event()
    old.shutdown(lambda: lines.append("old down"))
    new.initialize(lambda: lines.append("new up"))

    @old.tool(name="version")
    async def old_version() -> str:
        lines.append("called")
        await release.wait()
        return "old"

    @new.tool(name="version")
    async def new_version() -> str:
        return "new"

    @old.scenario(name="which")
    async def old_which():
        yield "old"
        yield 1.0

    changed = []

    async def heard(message):
        changed.append(type(message).__name__)

    results = []

    async def call(client):
        results.append((await client.call_tool("version", {})).content[0].text)

    server = EnvironmentServer(old)
    async with Client(server.lowlevel, mode=mode, message_handler=heard) as client:
        prompt = await client.get_prompt("swap:which")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, client)
            while "called" not in lines:
                await anyio.sleep(0.01)
            await server.replace(new)
            assert (await client.call_tool("version", {})).content[0].text == "new"
            release.set()
        meta = {"hud/episode": prompt.meta["hud/episode"]}
        assert json.loads((await client.read_resource("swap:which", meta=meta)).contents[0].text)["reward"] == 1.0
        assert results == ["old"]
        with anyio.fail_after(60):
            while "old down" not in lines:
                await anyio.sleep(0.01)
        assert (await client.call_tool("version", {})).content[0].text == "new"
        if mode == "legacy":
            with anyio.fail_after(60):
                while len(changed) < 3:
                    await anyio.sleep(0.01)
            assert "ToolListChangedNotification" in changed


async def test_an_environment_that_cannot_start_does_not_take_over(mode):
    broken = Environment("letters")
    broken.initialize(lambda: 1 / 0)
    server = EnvironmentServer(make_environment())
    async with connect(server, mode) as client:
        await client.list_tools()
        with pytest.raises(Exception, match="division by zero"):
            await server.replace(broken)
        assert (await client.call_tool("add", {"a": 1})).content[0].text == "2"
