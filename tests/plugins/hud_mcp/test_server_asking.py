"""Tools and scenarios that report progress, write log lines, and ask the client's user or model, in both eras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import anyio
import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.server import Server
from mcp.shared.exceptions import MCPDeprecationWarning

from hud.server import elicit, list_roots, log, progress, sample
from hud_core import Environment, EnvRef
from hud_core.errors import ConfigError, ToolError
from hud_core.model.content import ImageContent, Message, TextContent
from hud_core.trace import Recorder, current_recorder
from hud_mcp.client.backend import MCPBackend
from hud_mcp.server import EnvironmentServer


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Order:
    drink: str
    size: Size = Size.SMALL
    cups: int = 1


def make_environment(seen=None):
    env = Environment("cafe")
    add_reports(env)
    add_forms(env, [] if seen is None else seen)
    add_models(env)
    add_more(env)
    add_scenario(env)
    return env


def add_reports(env):
    @env.tool
    async def brew() -> str:
        await progress(1, 2, "grinding")
        await log("hot", level="warning", degrees=93)
        await log("only a detail", level="debug")
        await progress(2, 2)
        return "brewed"

    @env.tool
    def brew_in_a_thread() -> str:
        anyio.from_thread.run(progress, 1, None, "in a thread")
        return "brewed"


def add_forms(env, seen):
    @env.tool
    async def order() -> str:
        seen.append("begun")
        try:
            answer = await elicit("What will it be?", Order)
            seen.append(answer)
            return "nothing" if answer.content is None else f"{answer.content.cups} {answer.content.drink}"
        finally:
            seen.append("over")

    @env.tool
    async def order_twice() -> str:
        first = await elicit("First?", {"type": "object", "properties": {"drink": {"type": "string"}}})
        second = await elicit("Second?", Order)
        return f"{first.content['drink']} and {second.content.drink}"

    @env.prompt
    async def menu():
        return f"Order {(await elicit('Which?', Order)).content.drink}."

    @env.resource("cafe://bill")
    async def bill():
        return f"One {(await elicit('Which?', Order)).content.drink}."


def add_models(env):
    @env.tool
    async def ask_the_model() -> str:
        return (await sample("Tea or coffee?", max_tokens=7, system="Be brief.")).text


def add_more(env):
    @env.tool
    async def where() -> list[str]:
        return await list_roots()

    @env.tool
    async def order_by_name() -> str:
        answer = await elicit("What?", Order, key="order")
        return f"{answer.content.drink}, {(await sample('Tea?', key='opinion')).text}"

    @env.tool
    async def ask_twice_the_same() -> str:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(partial(elicit, "What?", Order, key="order"))
        return "never"

    @env.tool
    async def show_the_model() -> str:
        shown = Message(content=(TextContent(text="This?"), ImageContent(data="AAA=")))
        return (await sample([shown, Message(role="assistant", content=(TextContent(text="Hm."),))])).text

    @env.tool
    async def ask_both() -> str:
        got = {}

        async def keep(name, question, *about):
            got[name] = await question(*about)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep, "form", elicit, "What?", Order)
            tasks.start_soon(keep, "model", sample, "Tea?")
        return f"{got['form'].content.drink}, {got['model'].text}"

    @env.tool
    async def manage_without() -> str:
        try:
            return (await sample("Tea?")).text
        except ToolError as error:
            return f"did without: {error}"


def add_scenario(env):
    @env.scenario()
    async def served():
        await progress(1, 1, "setting up")
        answer = await elicit("What will it be?", Order)
        given = yield f"Serve {answer.content.drink}."
        verdict = await sample(f"Is it {given}?")
        yield float(verdict.text == "yes")


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


@pytest.fixture
def asked():
    return []


def connect(mode, asked, server=None, form=None, says="yes", **without):
    async def fill_in(context, params):
        asked.append(params)
        return form or types.ElicitResult(action="accept", content={"drink": "tea", "cups": 2})

    async def answer(context, params):
        asked.append(params)
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(text=says), model="m", stop_reason="endTurn"
        )

    callbacks = {"elicitation_callback": fill_in, "sampling_callback": answer, **without}
    server = server or EnvironmentServer(make_environment())
    return Client(server.lowlevel, mode=mode, **callbacks)


async def text_of(client, tool, **options):
    result = await client.call_tool(tool, {}, **options)
    return result.content[0].text


# --- progress and log lines -------------------------------------------------------------------------------------------


async def test_progress_and_log_lines_reach_the_client(mode, asked):
    reported, lines = [], []

    async def keep(*progress):
        reported.append(progress)

    async def keep_line(params):
        lines.append((params.level, params.data))

    async with connect(mode, asked, logging_callback=keep_line) as client:
        wanted = {"io.modelcontextprotocol/logLevel": "info"} if mode == "auto" else {}
        if mode == "legacy":
            with pytest.warns(MCPDeprecationWarning):
                await client.set_logging_level("info")
        assert await text_of(client, "brew", progress_callback=keep, meta=wanted) == "brewed"
        assert await text_of(client, "brew_in_a_thread", progress_callback=keep) == "brewed"
    assert reported == [(1, 2, "grinding"), (2, 2, None), (1, None, "in a thread")]
    assert lines == [("warning", {"message": "hot", "degrees": 93})]


async def test_a_client_that_wants_to_hear_nothing_hears_nothing(mode, asked):
    async with connect(mode, asked) as client:
        assert await text_of(client, "brew") == "brewed"


async def test_outside_a_server_progress_and_log_lines_are_recorded():
    recorder = Recorder("r1")
    token = current_recorder.set(recorder)
    try:
        await make_environment().call_tool("brew")
    finally:
        current_recorder.reset(token)
    assert [(event.source, event.text, event.data) for event in recorder.pending] == [
        ("progress", "grinding", {"done": 1, "total": 2}),
        ("log", "hot", {"level": "warning", "degrees": 93}),
        ("log", "only a detail", {"level": "debug"}),
        ("progress", "progress", {"done": 2, "total": 2}),
    ]
    assert (await make_environment().call_tool("brew")).text == "brewed"  # nor does it need a rollout


async def test_a_level_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match="no level 'loud'; there are debug, info"):
        await log("x", level="loud")


# --- asking -----------------------------------------------------------------------------------------------------------


async def test_a_form_is_filled_in(mode, asked):
    seen = []
    async with connect(mode, asked, EnvironmentServer(make_environment(seen))) as client:
        assert await text_of(client, "order") == "2 tea"
    assert seen[1].content == Order("tea", Size.SMALL, 2)
    assert [entry for entry in seen if isinstance(entry, str)] == ["begun", "over"]  # the tool ran once
    (params,) = asked
    assert params.message == "What will it be?"
    assert params.requested_schema == {
        "type": "object",
        "properties": {
            "drink": {"type": "string"},
            "size": {"type": "string", "title": "Size", "enum": ["large", "small"], "default": "small"},
            "cups": {"type": "integer", "default": 1},
        },
        "required": ["drink"],
    }


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_form_is_declined(mode, asked, action):
    async with connect(mode, asked, form=types.ElicitResult(action=action)) as client:
        assert await text_of(client, "order") == "nothing"


async def test_what_does_not_fit_the_form_is_an_error(mode, asked):
    async with connect(mode, asked, form=types.ElicitResult(action="accept", content={"cups": "many"})) as client:
        result = await client.call_tool("order", {})
    assert result.is_error
    assert "does not fit the form" in result.content[0].text


async def test_questions_that_follow_each_other(mode, asked):
    async with connect(mode, asked) as client:
        assert await text_of(client, "order_twice") == "tea and tea"
    assert [params.message for params in asked] == ["First?", "Second?"]


async def test_a_model_is_asked(mode, asked):
    async with connect(mode, asked, says="tea") as client:
        assert await text_of(client, "ask_the_model") == "tea"
        assert await text_of(client, "show_the_model") == "tea"
    one, two = asked
    assert (one.messages[0].content.text, one.max_tokens, one.system_prompt) == ("Tea or coffee?", 7, "Be brief.")
    assert [block.type for block in two.messages[0].content] == ["text", "image"]
    assert two.messages[1].role == "assistant"


async def test_a_client_says_where_it_works(mode, asked):
    async def roots(context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///work")])

    async with connect(mode, asked, list_roots_callback=roots) as client:
        result = await client.call_tool("where", {})
    assert "file:///work" in result.content[0].text


async def test_two_questions_at_once(mode, asked):
    async with connect(mode, asked, says="yes") as client:
        assert await text_of(client, "ask_both") == "tea, yes"
    assert len(asked) == 2


async def test_a_scenario_asks_when_it_is_set_up_and_when_it_grades(mode, asked):
    async with connect(mode, asked) as client:
        prompt = await client.get_prompt("cafe:served")
        assert prompt.messages[0].content.text == "Serve tea."
        meta = {"hud/episode": prompt.meta["hud/episode"]}
        await client.call_tool("_hud_submit", {"scenario": "served", "answer": "good tea"}, meta=meta)
        graded = await client.read_resource("cafe:served", meta=meta)
    assert json.loads(graded.contents[0].text)["reward"] == 1.0
    assert asked[1].messages[0].content.text == "Is it good tea?"


async def test_prompts_and_resources_ask(mode, asked):
    async with connect(mode, asked) as client:
        assert (await client.get_prompt("menu")).messages[0].content.text == "Order tea."
        assert (await client.read_resource("cafe://bill")).contents[0].text == "One tea."


@pytest.mark.parametrize("form", [str, int, list, {"type": "string"}])
async def test_a_form_needs_fields(form):
    with pytest.raises(ConfigError, match="elicit asks for a form, which has fields"):
        await elicit("What?", form)


# --- nobody to ask ----------------------------------------------------------------------------------------------------


async def test_a_client_that_cannot_be_asked(mode, asked):
    server = EnvironmentServer(make_environment())
    async with connect(mode, asked, server, elicitation_callback=None, sampling_callback=None) as client:
        assert (
            await text_of(client, "manage_without") == "did without: the client does not support sampling/createMessage"
        )
        if mode == "legacy":
            result = await client.call_tool("order", {})
            assert result.is_error
            assert "does not support elicitation/create" in result.content[0].text
        else:
            with pytest.raises(MCPError, match="does not support elicitation/create") as caught:
                await client.call_tool("order", {})
            assert caught.value.error.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY
            assert caught.value.error.data == {"requiredCapabilities": {"elicitation": {}}}


async def test_without_a_client_there_is_nobody_to_ask():
    with pytest.raises(ToolError, match="elicit asks the client that made a call over MCP; nobody did"):
        await elicit("What?", Order)
    with pytest.raises(ToolError, match="sample asks the client"):
        await make_environment().call_tool("ask_the_model")


async def test_what_goes_on_after_its_call_speaks_to_nobody(mode, asked):
    env, later, told = Environment("late"), [], []

    async def go_on(done):
        await done.wait()
        await progress(1, 1)
        with pytest.raises(ToolError, match="nobody"):
            await sample("Anybody?")
        told.append("nobody")

    async with anyio.create_task_group() as tasks:
        done = anyio.Event()

        @env.tool
        async def start() -> str:
            later.append(1)
            tasks.start_soon(go_on, done)
            return "started"

        async with connect(mode, asked, EnvironmentServer(env)) as client:
            assert await text_of(client, "start") == "started"
            done.set()
            with anyio.fail_after(60):
                while not told:
                    await anyio.sleep(0.01)
    assert not asked


# --- rounds of the later era ------------------------------------------------------------------------------------------


def by_hand(server):
    """A client whose rounds are made by the test."""

    async def unused(context, params):
        raise AssertionError

    return Client(server.lowlevel, elicitation_callback=unused, sampling_callback=unused)


async def first_round(client, tool="order"):
    return await client.session.call_tool(tool, {}, allow_input_required=True)


def accepted(**content):
    return types.ElicitResult(action="accept", content=content)


async def test_a_state_that_is_made_up_or_used_or_of_another_request_is_refused():
    server = EnvironmentServer(make_environment())
    async with by_hand(server) as client:
        asked = await first_round(client)
        (key,) = asked.input_requests
        answers = {key: accepted(drink="tea")}
        for tool, state in [("order", asked.request_state + "x"), ("order", "x"), ("brew", asked.request_state)]:
            with pytest.raises(MCPError, match="requestState is none of this server's"):
                await client.session.call_tool(
                    tool, {}, input_responses=answers, request_state=state, allow_input_required=True
                )
        again = {"input_responses": answers, "request_state": asked.request_state, "allow_input_required": True}
        assert (await client.session.call_tool("order", {}, **again)).content[0].text == "1 tea"
        with pytest.raises(MCPError, match="requestState is none"):
            await client.session.call_tool("order", {}, **again)


async def test_what_was_not_answered_is_asked_again():
    server = EnvironmentServer(make_environment())
    async with by_hand(server) as client:
        asked = await first_round(client, "ask_both")
        assert len(asked.input_requests) == 2
        (form,) = [key for key, request in asked.input_requests.items() if request.method == "elicitation/create"]
        answers = {form: accepted(drink="tea"), "made up": accepted(drink="gin")}
        state = {"input_responses": answers, "request_state": asked.request_state, "allow_input_required": True}
        again = await client.session.call_tool("ask_both", {}, **state)
        assert again.request_state != asked.request_state
        assert [request.method for request in again.input_requests.values()] == ["sampling/createMessage"]


async def test_questions_that_have_names_may_be_answered_in_advance():
    answers = {"order": accepted(drink="tea"), "of something else": accepted(x=1)}
    async with by_hand(EnvironmentServer(make_environment())) as client:
        asked = await client.session.call_tool("order_by_name", {}, input_responses=answers, allow_input_required=True)
        assert list(asked.input_requests) == ["opinion"]
        result = await client.session.call_tool("ask_twice_the_same", {}, allow_input_required=True)
        assert result.is_error
        assert "'order' is being asked already" in result.content[0].text


@pytest.mark.parametrize("answers", [{"order": 5}, {"order": {"action": "perhaps"}}, [], "x"])
async def test_answers_that_are_none_are_refused(answers):
    async with by_hand(EnvironmentServer(make_environment())) as client:
        sent = {"name": "order", "arguments": {}, "inputResponses": answers}
        request = types.Request[dict, str](method="tools/call", params=sent)
        with pytest.raises(MCPError) as caught:
            await client.session.send_request(request, types.CallToolResult)
    assert caught.value.error.code == types.INVALID_PARAMS


async def test_calls_that_wait_for_answers_are_bounded_in_number():
    seen = []
    server = EnvironmentServer(make_environment(seen), max_sessions=2)
    async with by_hand(server) as client:
        for _ in range(2):
            await first_round(client)
        with pytest.raises(MCPError, match="2 requests wait for their clients' answers"):
            await first_round(client)
    assert seen.count("over") == seen.count("begun") == 3  # what waits when the server stops is ended, too


async def test_calls_that_wait_for_answers_are_bounded_in_age():
    seen = []
    server = EnvironmentServer(make_environment(seen), max_sessions=1, episode_ttl=0.2)
    async with by_hand(server) as client:
        for number in (1, 2):  # the first one makes room for the second
            await first_round(client)
            with anyio.fail_after(60):
                while seen.count("over") < number:
                    await anyio.sleep(0.02)
            (run,) = server._runs
            assert len(run.rounds) == 0
    assert seen.count("begun") == 2


async def test_a_client_that_leaves_ends_its_call():
    seen = []
    env = make_environment(seen)

    @env.tool
    async def hang() -> None:
        seen.append("hanging")
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("ended")

    async with by_hand(EnvironmentServer(env)) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first_round, client, "hang")
            with anyio.fail_after(60):
                while "hanging" not in seen:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            while "ended" not in seen:
                await anyio.sleep(0.01)


# --- our client -------------------------------------------------------------------------------------------------------


async def test_our_client_answers_no_questions_and_says_so():
    async def ask(ctx, params):
        form = types.ElicitRequestFormParams(message="Who?", requested_schema={"type": "object", "properties": {}})
        return types.InputRequiredResult(input_requests={"who": types.ElicitRequest(params=form)}, request_state="s")

    ref = EnvRef("asking", "mcp", {"object": Server("asking", on_call_tool=ask)})
    async with MCPBackend().open(ref) as session:
        result = await session.call_tool("any")
    assert result.is_error
    assert result.text == "tool 'any': the server asks its client something, and hud answers no such questions"
