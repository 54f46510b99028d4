"""What a job runs, in which order, and what its records say."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest

import hud_core
from hud_core import (
    Agent,
    Answer,
    ConfigError,
    Environment,
    EnvRef,
    Grader,
    JobControl,
    Kernel,
    Provider,
    Solution,
    SolutionAgent,
    SubScore,
    Task,
    TaskDataError,
    UnknownProviderError,
    evaluate,
    hookimpl,
    run,
)
from hud_core.testing import MemorySink, ScriptedAgent, fakes

env = Environment("letters")


@env.tool
async def count_letter(text: str, letter: str) -> int:
    return text.count(letter)


@env.tool
async def secret() -> str:
    return "3"


@env.scenario()
async def count(text: str, letter: str = "r"):
    answer = yield f"How many {letter} are in {text}?"
    yield float(answer.strip() == str(text.count(letter)))


class Plugin:
    """Agents and a grader for these tests."""

    @staticmethod
    @hookimpl
    def hud_agents():
        yield Provider("says", lambda: Says, "says what it is told", models=("say-*",))
        yield Provider("knows", lambda: Knows, "is shown the solution")

    @staticmethod
    @hookimpl
    def hud_graders():
        yield Provider("contains", lambda: Contains, "looks for a text")


class Says(Agent):
    def __init__(self, text: str = "3", model: str = "") -> None:
        self.text = model.removeprefix("say-") or text

    async def run(self, prompt, toolbox, *, max_steps):
        return self.text


class Knows(SolutionAgent):
    solution = Solution()

    def with_solution(self, solution):
        other = Knows()
        other.solution = solution
        return other

    async def run(self, prompt, toolbox, *, max_steps):
        return str(self.solution.answer)


class Contains(Grader):
    async def grade(self, answer, session, *, expected):
        return SubScore(name="contains", value=expected in answer.text)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(autoload=False, plugins=[fakes, Plugin], strict=True)


async def test_rewards_come_in_the_order_of_tasks_agents_variants_repeats(kernel):
    tasks = [count.task("strawberry"), count.task("tree")]
    job = await run(tasks, "says", variants={"text": ["3", "1"]}, group=2, kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [1, 1, 0, 0, 0, 0, 1, 1]
    assert [rollout.variant["text"] for rollout in job][:4] == ["3", "3", "1", "1"]
    assert [rollout.repeat for rollout in job][:4] == [0, 1, 0, 1]
    assert job.total == 8


async def test_a_group_is_one_task_with_one_agent_and_variant(kernel):
    tasks = [count.task("strawberry"), count.task("tree")]
    job = await run(tasks, ["says", "knows"], group=3, kernel=kernel, save=False)
    groups = job.groups()
    assert len(groups) == 4
    assert len({group.id for group in groups}) == 4
    assert [len(group.rollouts) for group in groups] == [3, 3, 3, 3]


async def test_agents_of_one_name_are_told_apart(kernel):
    agents = [ScriptedAgent(answer="3"), ScriptedAgent(answer="4")]
    job = await run(count.task("strawberry"), agents, kernel=kernel, save=False)
    assert len({rollout.id for rollout in job}) == 2
    assert [rollout.reward for rollout in job] == [1.0, 0.0]


async def test_tasks_of_one_slug_are_told_apart(kernel):
    task = count.task("strawberry")
    task.slug = "same"
    job = await run([task, task], "says", kernel=kernel, save=False)
    assert len({rollout.id for rollout in job}) == 2


async def test_a_model_name_finds_its_agent(kernel):
    job = await run(count.task("strawberry"), "say-3", kernel=kernel, save=False)
    assert (job.reward, job.rollouts[0].agent) == (1.0, "say-3")


async def test_an_unknown_agent_is_an_error_that_says_what_there_is(kernel):
    with pytest.raises(UnknownProviderError, match=r"no agent 'sayz'.*did you mean 'says'.*installed: knows, says"):
        await run(count.task("strawberry"), "sayz", kernel=kernel, save=False)
    with pytest.raises(UnknownProviderError, match="pip install hud-anthropic"):
        await run(count.task("strawberry"), "claude", kernel=kernel, save=False)


async def test_an_option_that_the_agent_does_not_take_is_an_error(kernel):
    with pytest.raises(ConfigError, match="unexpected keyword argument 'txet'"):
        await run(count.task("strawberry"), "says", agent_options={"txet": "3"}, kernel=kernel, save=False)


async def test_a_solution_reaches_only_agents_that_are_made_for_it(kernel):
    task = count.task("strawberry")
    task.answer = "3"
    job = await run(task, ["knows", "says"], kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [1.0, 1.0]
    task.answer = "4"
    job = await run(task, ["knows", "says"], kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [0.0, 1.0]


async def test_tools_are_filtered_by_the_job_and_by_the_task(kernel):
    task = count.task("strawberry")
    task.agent_config = {"disallowed_tools": ["sec*"]}
    agent = ScriptedAgent([("secret", {}), ("count_letter", {"text": "aa", "letter": "a"})], answer="3")
    await run(task, agent, kernel=kernel, save=False)
    assert [result.is_error for result in agent.results] == [True, False]
    agent.results.clear()
    await run(task, agent, kernel=kernel, save=False, allowed_tools=["secret"])
    assert [result.is_error for result in agent.results] == [True, True]
    assert "unknown tool 'secret'; there are no tools" in agent.results[0].text


async def test_a_tasks_system_prompt_and_steps_reach_the_agent(kernel):
    seen = []

    class Looking(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            seen.append((prompt.system, max_steps))
            return "3"

    task = count.task("strawberry")
    task.agent_config = {"system_prompt": "Be brief.", "max_steps": 3}
    await run(task, Looking(), kernel=kernel, save=False, max_steps=7)
    await run(count.task("tree"), Looking(), kernel=kernel, save=False, max_steps=7)
    assert seen == [("Be brief.", 3), (None, 7)]


async def test_no_more_rollouts_run_at_once_than_asked_for(kernel):
    running = most = 0
    full = anyio.Event()

    class Counting(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 7:
                full.set()
            await full.wait()
            await anyio.sleep(0.005)
            running -= 1
            return "3"

    with anyio.fail_after(60):
        await run([count.task("tree")] * 40, Counting(), kernel=kernel, save=False, max_concurrent=7)
    assert most == 7


async def test_tasks_may_come_as_a_stream_that_is_read_as_it_is_needed(kernel):
    read = 0

    async def stream():
        nonlocal read
        for _ in range(100):
            read += 1
            yield count.task("strawberry")

    class Watching(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            await anyio.lowlevel.checkpoint()
            ahead.append(read)
            return "3"

    ahead: list[int] = []
    job = await run(stream(), Watching(), kernel=kernel, save=False, max_concurrent=2)
    assert (len(job), job.total, job.reward) == (100, 100, 1.0)
    assert ahead[0] <= 3
    assert len(await run(iter([count.task("tree")] * 5), Watching(), kernel=kernel, save=False)) == 5


@pytest.mark.parametrize(("is_stream", "expected"), [(False, [4, 3, 2, 1, 0]), (True, [2, 2, 2, 2, 2])])
async def test_backends_are_told_how_many_rollouts_are_still_to_be_begun(is_stream, expected):
    told = []

    class Counting(fakes.InProcessBackend):
        def open(self, ref, *, seed=None):
            told.append(self.upcoming())
            return super().open(ref, seed=seed)

    class Counts:
        @staticmethod
        @hookimpl
        def hud_backends():
            yield Provider("counting", lambda: Counting, "counts")

    async def stream():
        for task in tasks:
            yield task

    tasks = [count.task(text="strawberry") for _ in range(5)]
    kernel = Kernel(plugins=[fakes, Plugin, Counts], autoload=False)
    given = stream() if is_stream else tasks
    await run(given, ScriptedAgent(), kernel=kernel, backend="counting", max_concurrent=2, save=False)
    assert told == expected
    assert Counting().upcoming is None


async def test_a_stream_that_breaks_ends_the_job_with_its_error(kernel):
    async def stream():
        yield count.task("strawberry")
        raise hud_core.TaskDataError(["bad row @ tasks[1]"])

    with pytest.raises(hud_core.TaskDataError, match="bad row"):
        await run(stream(), "says", kernel=kernel, save=False)


@pytest.mark.parametrize("tasks", [3, [3], {"a": 1}, None])
async def test_what_is_no_task_is_refused(tasks, kernel):
    with pytest.raises(ConfigError, match="expected a Task"):
        await run(tasks, "says", kernel=kernel, save=False)


@pytest.mark.parametrize("option", ["group", "max_concurrent", "max_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
async def test_numbers_that_cannot_be_are_refused(option, value, kernel):
    with pytest.raises(ConfigError, match=f"{option} must be a whole number of at least 1"):
        await run(count.task("tree"), "says", kernel=kernel, save=False, **{option: value})


async def test_an_empty_taskset_is_an_empty_job(kernel):
    job = await run([], "says", kernel=kernel, save=False)
    assert (len(job), job.total, job.reward) == (0, 0, None)


async def test_a_backend_that_is_missing_stops_the_job_with_what_to_install(kernel):
    task = Task(env=EnvRef("far", "docker"), scenario="x", args={})
    with pytest.raises(UnknownProviderError, match="no backend 'docker' is installed; pip install hud-docker"):
        await run([count.task("strawberry"), task], "says", kernel=kernel, save=False)


async def test_rows_are_graded_by_the_graders_that_they_name(kernel):
    task = count.task("strawberry")
    task.graders = [
        {"name": "contains", "expected": "3", "weight": 3.0},
        {"name": "contains", "expected": "x", "weight": 1.0},
    ]
    (rollout,) = (await run(task, "says", kernel=kernel, save=False)).rollouts
    assert rollout.reward == 0.75


@pytest.mark.parametrize(
    ("graders", "problem"),
    [
        ([{"name": "nonesuch"}], "no grader 'nonesuch' is installed"),
        ([{"name": "contains"}], r"grader 'contains': missing .*'expected'"),
        ([{"name": "contains", "expected": "3", "expcted": "3"}], "'expcted'; its options are expected"),
        ([{"expected": "3"}], "a grader needs a name"),
        ([{"name": "contains", "expected": "3", "weight": "1"}], "weight must be a number, got '1'"),
        ([{"name": "contains", "expected": "3", "weight": -1}], "at least one grader with a positive weight"),
    ],
)
@pytest.mark.parametrize("as_stream", [False, True])
async def test_graders_that_are_wrong_stop_a_job_before_it_runs(kernel, tmp_path, graders, problem, as_stream):
    fine, wrong = count.task("strawberry"), count.task("raspberry")
    wrong.slug, wrong.graders = "raspberry", graders

    async def stream():
        yield wrong

    tasks, place = (stream(), 0) if as_stream else ([fine, wrong], 1)
    with pytest.raises(TaskDataError, match=rf"{problem}.* @ tasks\[{place}\]\.graders.* \(raspberry\)"):
        await run(tasks, "says", kernel=kernel, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists() or not (tmp_path / "run" / "rollouts.jsonl").read_bytes()
    with pytest.raises(TaskDataError, match=problem):
        async with evaluate(wrong, kernel=kernel):
            pass


async def test_a_mistake_in_every_row_is_not_told_of_in_each(kernel):
    tasks = [count.task("strawberry") for _ in range(100)]
    for task in tasks:
        task.graders = [{"name": "nonesuch", "weight": 1}]
    with pytest.raises(TaskDataError) as caught:
        await run(tasks, "says", kernel=kernel, save=False)
    assert caught.value.problems[-1] == "... and 80 more"


async def test_a_task_runs_by_itself(kernel):
    rollout = await env("count", text="strawberry").run("say-3", kernel=kernel)
    assert rollout.reward == 1.0
    assert (await count.task("strawberry").run(ScriptedAgent(answer="2"), kernel=kernel)).reward == 0.0


async def test_a_template_does_not_run(kernel):
    with pytest.raises(ConfigError, match="template"):
        await Task(env=env, scenario="count").run("says", kernel=kernel)


async def test_each_repeat_has_its_own_seed(kernel):
    seeds = []

    class Seeded(fakes.InProcessBackend):
        def open(self, ref, *, seed=None):
            seeds.append(seed)
            return super().open(ref, seed=seed)

    class Backends:
        @staticmethod
        @hookimpl
        def hud_backends():
            yield Provider("seeded", lambda: Seeded)

    kernel = Kernel(autoload=False, plugins=[Backends, Plugin])
    await run(count.task("tree"), "says", kernel=kernel, save=False, backend="seeded", group=3, seed=10)
    assert sorted(seeds) == [10, 11, 12]


async def test_a_stream_is_closed_when_the_job_stops_early(kernel):
    control = JobControl()
    closed = []

    async def stream():
        try:
            while True:
                yield count.task("strawberry")
        finally:
            closed.append(True)

    class Stopping(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            if control.progress.done >= 3:
                control.stop()
            await anyio.lowlevel.checkpoint()
            return "3"

    job = await run(stream(), Stopping(), kernel=kernel, save=False, control=control, max_concurrent=2)
    assert job.stopped
    assert closed == [True]


async def test_a_backend_that_cannot_close_costs_a_warning_and_no_result(monkeypatch, kernel):
    async def fail(self):
        raise OSError("the pool is stuck")

    monkeypatch.setattr(fakes.InProcessBackend, "aclose", fail)
    job = await run(count.task("strawberry"), "says", kernel=kernel, save=False)
    assert job.reward == 1.0
    assert job.warnings == ("closing InProcessBackend failed: OSError: the pool is stuck",)


async def test_several_jobs_run_in_one_loop(kernel):
    jobs = []
    async with anyio.create_task_group() as group:
        for answer in "1234":

            async def one(answer=answer):
                tasks = [count.task("strawberry")] * 20
                jobs.append((answer, await run(tasks, f"say-{answer}", kernel=kernel, save=False)))

            group.start_soon(one)
    assert {answer: job.reward for answer, job in jobs} == {"1": 0.0, "2": 0.0, "3": 1.0, "4": 0.0}


async def test_two_kernels_know_different_things(kernel):
    other = Kernel(autoload=False, plugins=[fakes])
    assert (await run(count.task("strawberry"), "says", kernel=kernel, save=False)).reward == 1.0
    with pytest.raises(UnknownProviderError):
        await run(count.task("strawberry"), "says", kernel=other, save=False)


def test_kernels_run_in_threads_at_the_same_time():
    rewards = {}

    def work(answer: str) -> None:
        kernel = Kernel(autoload=False, plugins=[fakes, Plugin])
        job = anyio.run(lambda: run([count.task("strawberry")] * 50, f"say-{answer}", kernel=kernel, save=False))
        rewards[answer] = job.reward

    threads = [threading.Thread(target=work, args=(answer,)) for answer in "234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rewards == {"2": 0.0, "3": 1.0, "4": 0.0}


async def test_sinks_see_what_happens_in_order(kernel):
    sink = MemorySink()
    agent = ScriptedAgent([("count_letter", {"text": "aa", "letter": "a"})], answer=Answer(text="3"))
    await run(count.task("strawberry"), agent, kernel=kernel, save=False, sinks=[sink])
    assert [event.type for event in sink.events] == [
        "job_started",
        "rollout_started",
        "prompted",
        "tool_called",
        "tool_returned",
        "answered",
        "graded",
        "rollout_finished",
        "job_finished",
    ]
    assert sink.is_closed
    assert sink.events[-2].record.reward == 1.0


async def test_a_broken_sink_costs_a_warning_and_no_rollout(kernel):
    class Broken(MemorySink):
        async def handle(self, event):
            raise OSError("disk on fire")

        async def aclose(self):
            raise OSError("still burning")

    sink = MemorySink()
    job = await run([count.task("strawberry")] * 5, "says", kernel=kernel, save=False, sinks=[Broken(), sink])
    assert job.reward == 1.0
    assert len(sink.of_type("graded")) == 5
    assert len(job.warnings) == 1
    assert "Broken" in job.warnings[0]
    assert "still burning" in job.warnings[0]


async def test_a_slow_sink_loses_events_and_says_how_many(kernel, monkeypatch):
    from hud_core.job import sinks

    monkeypatch.setattr(sinks, "QUEUE", 10)
    monkeypatch.setattr(sinks, "CLOSE_SECONDS", 0.1)

    class Slow(MemorySink):
        async def handle(self, event):
            await anyio.sleep_forever()

    with anyio.fail_after(60):
        job = await run([count.task("strawberry")] * 10, "says", kernel=kernel, save=False, sinks=[Slow()])
    assert job.reward == 1.0
    (warning,) = job.warnings
    lost = int(warning.split(":")[1].split()[0])
    assert lost > 20
    assert "did not finish within" in warning


async def test_an_initialiser_runs_before_the_first_rollout_and_a_shutdown_after_the_last(kernel):
    log = []
    hooked = Environment("hooked")

    @hooked.initialize
    async def begin():
        log.append("begin")

    @hooked.shutdown()
    def end():
        log.append("end")

    @hooked.scenario()
    async def work():
        log.append("work")
        yield "go"
        yield 1.0

    await run([work.task()] * 3, "says", kernel=kernel, save=False)
    assert log == ["begin", "work", "work", "work", "end"]
