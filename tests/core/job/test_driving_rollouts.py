"""`hud.eval`: rollouts that the caller drives."""

from __future__ import annotations

import anyio
import pytest

import hud.eval.task  # would hide the function `hud.eval`, were the module not callable itself
from hud_core import ConfigError, Environment, EvalBatch, EvalContext, evaluate
from hud_core.testing import ScriptedAgent

env = Environment("driven")
closed: list[str] = []


@env.tool
async def shout(text: str) -> str:
    return text.upper()


@env.scenario()
async def echo(word: str, broken: str = ""):
    try:
        if broken == "setup":
            raise RuntimeError("no stage")
        answer = yield f"Say {word}"
        if broken == "grade":
            raise RuntimeError("no ears")
        yield float(answer == word)
    finally:
        closed.append(word)


@pytest.fixture(autouse=True)
def _no_leftovers():
    closed.clear()


async def test_one_rollout(kernel):
    async with evaluate(echo.task("hi"), kernel=kernel) as ctx:
        assert isinstance(ctx, EvalContext)
        assert ctx.prompt == "Say hi"
        assert [tool.name for tool in await ctx.list_tools()] == ["shout"]
        assert (await ctx.call_tool("shout", text="a")).text == "A"
        await ctx.submit("wrong")
        await ctx.submit("hi")
        assert ctx.reward is None
    assert ctx.reward == 1.0
    assert (ctx.result.status, ctx.result.content, ctx.success) == ("scored", "hi", True)
    assert closed == ["hi"]
    assert [event.type for event in ctx.events][:2] == ["rollout_started", "prompted"]


async def test_the_module_itself_is_the_function(kernel):
    async with hud.eval(echo.task("hi"), kernel=kernel) as ctx:
        await ctx.submit("hi")
    assert ctx.reward == 1.0


async def test_nothing_submitted_is_no_score(kernel):
    async with evaluate(echo.task("hi"), kernel=kernel) as ctx:
        pass
    assert ctx.reward is None
    assert (ctx.result.status, ctx.result.cause) == ("invalid", "grader")
    assert "nothing was submitted" in ctx.result.error


async def test_an_agent_drives_it_and_its_result_is_graded(kernel):
    async with evaluate(echo.task("hi"), kernel=kernel) as ctx:
        result = await ctx.drive(ScriptedAgent(answer="hi"))
        assert result.reward == 1.0
    assert ctx.reward == 1.0


async def test_an_exception_of_the_block_goes_through_and_nothing_is_graded(kernel):
    async def block() -> None:
        async with evaluate(echo.task("hi"), kernel=kernel) as ctx:
            seen.append(ctx)
            await ctx.submit("hi")
            raise ZeroDivisionError

    seen: list[EvalContext] = []
    with pytest.raises(ZeroDivisionError):
        await block()
    (ctx,) = seen
    assert (ctx.reward, ctx.result.status) == (None, "invalid")
    assert closed == ["hi"]


async def test_a_setup_that_fails_is_raised_and_torn_down(kernel):
    with pytest.raises(RuntimeError, match="no stage"):
        async with evaluate(echo.task("hi", broken="setup"), kernel=kernel):
            pytest.fail("there is no prompt")
    assert closed == ["hi"]


async def test_grading_that_fails_is_raised(kernel):
    with pytest.raises(RuntimeError, match="no ears"):
        async with evaluate(echo.task("hi", broken="grade"), kernel=kernel) as ctx:
            await ctx.submit("hi")
    assert (ctx.reward, ctx.result.cause) == (None, "grader")


async def test_a_batch_runs_every_rollout_in_its_own_context(kernel):
    tasks = [echo.task("a"), echo.task("b")]
    async with evaluate(tasks, variants={"say": ["a", "b"]}, group=2, kernel=kernel) as batch:
        assert isinstance(batch, EvalBatch)

        async def body(ctx):
            await ctx.submit(ctx.variants["say"])

        results = await batch.map(body)
    assert [ctx.reward for ctx in results] == [1, 1, 0, 0, 0, 0, 1, 1]
    assert len({ctx.group_id for ctx in results}) == 4
    assert [ctx.index for ctx in results] == list(range(8))
    assert batch.job.summary().mean == 0.5
    assert len(closed) == 8


async def test_a_list_of_one_is_a_batch_too(kernel):
    async with evaluate([echo.task("a")], kernel=kernel) as batch:
        assert len(await batch.run(ScriptedAgent(answer="a"))) == 1
    assert batch.job.reward == 1.0


async def test_rollouts_come_as_they_end_and_at_once(kernel):
    order, may_end = [], [anyio.Event() for _ in range(3)]
    async with evaluate([echo.task(word) for word in "abc"], kernel=kernel) as batch:

        async def body(ctx):
            await may_end[ctx.index].wait()
            await ctx.submit("x")

        may_end[2].set()
        with anyio.fail_after(60):
            async for ctx in batch.as_completed(body):
                order.append(ctx.index)
                may_end[ctx.index - 1].set()
    assert order == [2, 1, 0]


async def test_at_most_so_many_at_once(kernel):
    running = most = 0
    full = anyio.Event()
    async with evaluate([echo.task(word) for word in "abcdef"], max_concurrent=2, kernel=kernel) as batch:

        async def body(ctx):
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 2:
                full.set()
            await full.wait()
            await anyio.sleep(0.01)
            running -= 1
            await ctx.submit("x")

        with anyio.fail_after(60):
            await batch.map(body)
    assert most == 2


async def test_one_broken_rollout_of_a_batch_is_its_own_affair(kernel):
    tasks = [echo.task("a"), echo.task("b", broken="setup"), echo.task("c", broken="grade"), echo.task("d")]
    async with evaluate(tasks, kernel=kernel) as batch:

        async def body(ctx):
            if ctx.prompt == "Say d":
                raise LookupError("mine")
            await ctx.submit("a")

        results = await batch.map(body)
    assert [ctx.reward for ctx in results] == [1.0, None, None, None]
    assert [type(ctx.error).__name__ for ctx in results] == ["NoneType", "RuntimeError", "RuntimeError", "LookupError"]
    assert [ctx.result.phase for ctx in results] == [None, "setup", "grade", "setup"]
    assert len(closed) == 4


async def test_leaving_a_batch_early_cancels_what_runs(kernel):
    async with evaluate([echo.task(word) for word in "abc"], kernel=kernel) as batch:

        async def body(ctx):
            if ctx.index:
                await anyio.sleep_forever()
            await ctx.submit("x")

        async for _ in batch.as_completed(body):
            break
    assert len(closed) == 3


async def test_a_batch_says_how_to_drive_it(kernel):
    async with evaluate([echo.task("a")], kernel=kernel) as batch:
        with pytest.raises(AttributeError, match=r"await batch\.map\(body\)"):
            _ = batch.prompt
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            _ = batch.nonsense
        await batch.run(ScriptedAgent())
        with pytest.raises(ConfigError, match="driven already"):
            await batch.run(ScriptedAgent())


@pytest.mark.parametrize("source", [None, {}, {"prompt": "x"}])
def test_what_is_no_task_is_refused(source, kernel):
    with pytest.raises(ConfigError, match=r"hud\.eval needs a task"):
        evaluate(source, kernel=kernel)


def test_an_option_that_is_none_is_named(kernel):
    with pytest.raises(ConfigError, match=r"no option 'varaints'; did you mean 'variants'"):
        evaluate(echo.task("a"), kernel=kernel, varaints={})
    evaluate(echo.task("a"), kernel=kernel, quiet=True, trace=False)  # the reference's switches


async def test_no_tasks_are_refused(kernel):
    with pytest.raises(ConfigError, match="no tasks"):
        async with evaluate([], kernel=kernel):
            pass
