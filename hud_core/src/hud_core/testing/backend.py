"""What every backend must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from hud_core.errors import ArgumentError, BackendError, Cause, GraderError, describe, verdict_for
from hud_core.model.content import ImageContent, TextContent
from hud_core.model.evaluation import Answer
from hud_core.testing.contract import Contract, check, required
from hud_core.testing.environments import PIXEL, contract
from hud_core.testing.processes import descendants, is_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hud_core.environment.session import Session
    from hud_core.interfaces import Backend
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.task import EnvRef, Recipe

SESSIONS = 20
"""Sessions at once."""


class BackendContract(Contract):
    """Proves a backend.

    ```python
    import pytest

    from hud_core.testing import BackendContract
    from my_plugin.backend import ShipBackend


    class TestShip(BackendContract):
        isolates_module_state = True

        @pytest.fixture
        def backend(self):
            return ShipBackend()
    ```

    A backend whose environments live elsewhere serves `hud_core.testing.environments.contract` there, overrides the
    fixture `ref` with what opens it, and sets `shares_files` to False unless that place sees this machine's files.
    """

    isolates_module_state: ClassVar[bool] = False
    """Whether two sessions have module globals of their own: yes for processes and containers."""
    shares_files: ClassVar[bool] = True
    """Whether environments see the files of this machine. Without it, some checks are left out."""
    runs_initialize: ClassVar[bool] = True
    """Whether the backend runs ``@env.initialize`` functions; not if the environment was started by somebody else."""

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend to prove; a new one for each test."""
        what, owner = "backend", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def ref(self) -> Recipe | EnvRef:
        """What to open: the contract's environment."""
        return contract

    @pytest.fixture
    async def opened(self, backend: Backend) -> AsyncIterator[Backend]:
        """The backend, closed after the test."""
        yield backend
        await backend.aclose()

    # --- a rollout ----------------------------------------------------------------------------------------------------

    async def test_the_check_passes_where_the_backend_works(self, opened: Backend) -> None:
        await opened.check()

    @pytest.mark.parametrize(("answer", "reward"), [("3", 1.0), ("2", 0.0)])
    async def test_a_rollout_gets_the_scenarios_prompt_and_reward(
        self, opened: Backend, ref: Recipe | EnvRef, answer: str, reward: float
    ) -> None:
        async with opened.open(ref) as session:
            prompt = await session.setup("letters", {"word": "strawberry"})
            check("'r'" in prompt.text and "'strawberry'" in prompt.text, f"setup gave another prompt: {prompt.text!r}")
            evaluation = await session.grade(Answer(text=answer))
        check(evaluation.reward == reward, f"answer {answer!r} earns {reward}, grade gave {evaluation.reward}")

    async def test_prompts_keep_roles_and_images(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        async with opened.open(ref) as session:
            prompt = await session.setup("picture", {})
        roles = [message.role for message in prompt.messages]
        check(roles == ["user", "assistant", "user"], f"setup must keep each message's role, it gave {roles}")
        text, image = prompt.messages[2].content
        check(text == TextContent(text="Here."), f"setup must keep text beside an image, it gave {text!r}")
        check(image == ImageContent(data=PIXEL), f"setup must keep images as they are, it gave {image!r}")

    async def test_what_the_tools_gave_before_the_prompt_is_beside_it(
        self, opened: Backend, ref: Recipe | EnvRef
    ) -> None:
        async with opened.open(ref) as session:
            prompt = await session.setup("prepared", {})
        output = prompt.setup_output
        check(output == (TextContent(text="the table is laid"),), f"setup must give the setup_output, it gave {output}")

    async def test_typed_answers_have_a_schema_and_are_read(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        async with opened.open(ref) as session:
            prompt = await session.setup("typed", {})
            check(prompt.answer_schema, "the prompt of a scenario with returns= must carry its answer_schema")
            check(prompt.enable_citations, "the prompt of a scenario with enable_citations= must say so")
            evaluation = await session.grade(Answer(text='{"x": 1, "y": 2}'))
        check(evaluation.reward == 1.0, "the scenario must receive the typed answer that the text holds")

    async def test_sub_scores_arrive(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        evaluation = await _rollout(opened, ref, "parts")
        names = [(score.name, score.value, score.weight) for score in evaluation.subscores or ()]
        expected = [("right", 1.0, 3.0), ("short", 0.0, 1.0), ("rude", 1.0, -0.25)]
        check(names == expected, f"grade must keep every sub-score with its weight, it gave {names}")
        check(evaluation.reward == 0.5, f"the parts weigh 0.5 together, grade gave {evaluation.reward}")  # noqa: PLR2004

    async def test_initialize_functions_run_before_the_first_rollout(
        self, opened: Backend, ref: Recipe | EnvRef
    ) -> None:
        if not self.runs_initialize:
            pytest.skip("runs_initialize is False: somebody else starts the environment")
        async with opened.open(ref) as session:
            result = await session.call_tool("initialized")
        check(int(result.text) >= 1, "the environment's @env.initialize functions must run before a session is given")

    # --- tools --------------------------------------------------------------------------------------------------------

    async def test_tools_are_listed_and_called(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        async with opened.open(ref) as session:
            await session.setup("letters", {"word": "strawberry"})
            tools = {tool.name: tool for tool in await session.list_tools()}
            check({"echo", "boom", "slow"} <= tools.keys(), f"list_tools leaves some out; it gave {sorted(tools)}")
            result = await session.call_tool("echo", text="hi")
        properties = tools["echo"].input_schema.get("properties", {})
        check("text" in properties, f"a tool's input_schema must name its parameters, echo's has {sorted(properties)}")
        check(not result.is_error and result.text == "hi", f"echo(text='hi') gave {result}")

    @pytest.mark.parametrize(
        ("name", "arguments", "says"),
        [
            pytest.param("no_such_tool", {}, "no_such_tool", id="unknown tool"),
            pytest.param("boom", {"message": "overboard"}, "overboard", id="exception"),
            pytest.param("echo", {"txt": "hi"}, "txt", id="wrong argument"),
            pytest.param("echo", {"text": 3}, "text", id="wrong type"),
        ],
    )
    async def test_what_goes_wrong_in_a_tool_is_a_result(
        self, opened: Backend, ref: Recipe | EnvRef, name: str, arguments: dict[str, Any], says: str
    ) -> None:
        async with opened.open(ref) as session:
            await session.setup("letters", {"word": "strawberry"})
            result = await session.call_tool(name, **arguments)
            evaluation = await session.grade(Answer(text="3"))
        check(result.is_error, f"{name}({arguments}) must be a result with is_error, it gave {result}")
        check(says in result.text, f"the result must tell the agent about {says!r}, it says {result.text!r}")
        check(evaluation.reward == 1.0, "the rollout must go on after a tool that failed")

    async def test_scenarios_call_tools_of_their_own_session(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        evaluation = await _rollout(opened, ref, "calls_tool")
        check(
            evaluation.reward == 1.0, "env.call_tool in a scenario must reach the tools of the scenario's own session"
        )

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "args", [{"wrod": "strawberry"}, {}, {"word": 3}], ids=["unknown", "missing", "wrong type"]
    )
    async def test_wrong_arguments_of_a_scenario_raise_argument_error(
        self, opened: Backend, ref: Recipe | EnvRef, args: dict[str, Any]
    ) -> None:
        error = await _failure_of_setup(opened, ref, "letters", args)
        check(isinstance(error, ArgumentError), f"setup must raise ArgumentError for {args}, it raised {error!r}")
        check("word" in str(error), f"the ArgumentError must name the parameter 'word', it says {str(error)!r}")

    @pytest.mark.parametrize("scenario", ["no_such_scenario", "broken_setup"])
    async def test_a_scenario_that_cannot_be_set_up_is_a_setup_error(
        self, opened: Backend, ref: Recipe | EnvRef, scenario: str
    ) -> None:
        error = await _failure_of_setup(opened, ref, scenario, {})
        check(
            isinstance(error, Exception) and verdict_for(error, "setup").cause is Cause.SETUP,
            f"setup of {scenario!r} must raise SetupError, it raised {error!r}",
        )

    @pytest.mark.parametrize("scenario", ["no_score", "not_a_number", "broken_grading"])
    async def test_a_scenario_without_a_score_is_a_grader_error(
        self, opened: Backend, ref: Recipe | EnvRef, scenario: str
    ) -> None:
        error: Exception | None = None
        async with opened.open(ref) as session:
            await session.setup(scenario, {})
            try:
                evaluation = await session.grade(Answer(text="x"))
            except Exception as raised:  # noqa: BLE001  which one it is, is the question
                error = raised
            else:
                check(holds=False, message=f"grade of {scenario!r} must raise GraderError, it gave {evaluation}")
        _check_grader_error(scenario, error)

    async def test_an_exception_inside_the_session_comes_out_as_it_is(
        self, opened: Backend, ref: Recipe | EnvRef
    ) -> None:
        mine = KeyError("mine")
        caught: BaseException | None = None
        try:
            async with opened.open(ref):
                raise mine  # noqa: TRY301  it must be raised here
        except BaseException as raised:  # noqa: BLE001  a group around it is what this looks for
            caught = raised
        check(
            caught is mine,
            f"leaving `open` by an exception must raise that exception, not {caught!r}; "
            "a task group around the yield wraps it in a group",
        )

    # --- nothing stays behind -----------------------------------------------------------------------------------------

    async def test_leaving_the_session_closes_the_scenario(
        self, opened: Backend, ref: Recipe | EnvRef, tmp_path: Path
    ) -> None:
        self._needs_files()
        async with opened.open(ref) as session:
            await session.setup("closing", {"marks": str(tmp_path)})
        await self._wait_for(tmp_path / "scenario-left", "a session that is left must run the scenario's finally block")

    async def test_cancelling_a_tool_leaves_nothing_behind(
        self, backend: Backend, ref: Recipe | EnvRef, tmp_path: Path
    ) -> None:
        self._needs_files()
        before = descendants()
        async with anyio.create_task_group() as group:
            group.start_soon(_stay_in_a_tool, backend, ref, tmp_path)
            await self._wait_for(tmp_path / "tool-began", "the tool 'slow' was called and never began")
            during = descendants() - before
            group.cancel_scope.cancel()
        await self._wait_for(
            tmp_path / "scenario-left", "a rollout cancelled in a tool must run the scenario's finally block"
        )
        check(not (tmp_path / "tool-ended").exists(), "a tool must not go on after its rollout is cancelled")
        with anyio.CancelScope(shield=True):
            await backend.aclose()
        left = {process for process in during | descendants() if process not in before and is_running(process)}
        check(not left, f"processes are left after cancelling and aclose: {left}; wait for them after killing them")

    async def test_cancelling_ends_soon(self, opened: Backend, ref: Recipe | EnvRef, tmp_path: Path) -> None:
        self._needs_files()
        with anyio.move_on_after(self.patience) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(_stay_in_a_tool, opened, ref, tmp_path)
                await self._wait_for(tmp_path / "tool-began", "the tool 'slow' was called and never began")
                group.cancel_scope.cancel()
        check(not limit.cancelled_caught, "a rollout that is cancelled in a tool must end, this one hangs")

    async def test_aclose_may_be_called_twice(self, backend: Backend, ref: Recipe | EnvRef) -> None:
        async with backend.open(ref):
            pass
        await backend.aclose()
        await backend.aclose()

    # --- several sessions ---------------------------------------------------------------------------------------------

    async def test_two_sessions_have_scenarios_of_their_own(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        async with opened.open(ref) as first, opened.open(ref) as second:
            await first.setup("letters", {"word": "strawberry"})
            await second.setup("letters", {"word": "pear"})
            rewards = [(await first.grade(Answer(text="3"))).reward, (await second.grade(Answer(text="1"))).reward]
        check(rewards == [1.0, 1.0], f"two open sessions must not share a scenario; their rewards are {rewards}")

    async def test_two_sessions_have_module_state_of_their_own(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        if not self.isolates_module_state:
            pytest.skip("isolates_module_state is False: sessions share the module's globals")
        async with opened.open(ref) as first, opened.open(ref) as second:
            counts = [(await session.call_tool("bump")).text for session in (first, second, first)]
        check(counts == ["1", "1", "2"], f"sessions must not share module globals; their counters gave {counts}")

    async def test_many_sessions_run_at_once(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        rewards: list[float] = []

        async def attempt(number: int) -> None:
            async with opened.open(ref) as session:
                await session.setup("letters", {"word": "r" * number})
                await anyio.lowlevel.checkpoint()  # the others come in between
                await session.call_tool("echo", text="hi")
                rewards.append((await session.grade(Answer(text=str(number)))).reward)

        async with anyio.create_task_group() as group:
            for number in range(SESSIONS):
                group.start_soon(attempt, number)
        check(rewards == [1.0] * SESSIONS, f"{SESSIONS} sessions at once must each get their reward, got {rewards}")

    async def test_a_killed_environment_is_a_backend_error(self, opened: Backend, ref: Recipe | EnvRef) -> None:
        error: Exception | None = None
        is_here = False
        with anyio.move_on_after(self.patience) as limit:
            try:
                async with opened.open(ref) as session:
                    await session.setup("letters", {"word": "strawberry"})
                    is_here = (await session.call_tool("die", spare=os.getpid())).text == "spared"
            except Exception as raised:  # noqa: BLE001  which one it is, is the question
                error = raised
        if is_here:
            pytest.skip("environments run in this process, which must live")
        check(not limit.cancelled_caught, "a call must not hang when the environment's process is killed")
        check(isinstance(error, BackendError), f"kill -9 of the environment must raise BackendError, it gave {error!r}")
        check((await _rollout(opened, ref, "calls_tool")).reward == 1.0, "the next session must work after a kill -9")

    async def _wait_for(self, file: Path, message: str) -> None:
        with anyio.move_on_after(self.patience) as limit:
            while not file.exists():  # noqa: ASYNC110, ASYNC240  another process may write it
                await anyio.sleep(0.005)
        check(not limit.cancelled_caught, message)

    def _needs_files(self) -> None:
        if not self.shares_files:
            pytest.skip("shares_files is False: what the environment leaves cannot be seen from here")


async def _rollout(backend: Backend, ref: Recipe | EnvRef, scenario: str) -> Evaluation:
    async with backend.open(ref) as session:
        await session.setup(scenario, {})
        return await session.grade(Answer(text="anything"))


async def _failure_of_setup(
    backend: Backend, ref: Recipe | EnvRef, scenario: str, args: dict[str, Any]
) -> Exception | None:
    async with backend.open(ref) as session:
        try:
            await session.setup(scenario, args)
        except Exception as error:  # noqa: BLE001  which one it is, is the question
            return error
    return None


def _check_grader_error(scenario: str, error: Exception | None) -> None:
    if scenario == "broken_grading":  # its own exception may come through; a job records it as a grader's all the same
        is_grader = isinstance(error, Exception) and verdict_for(error, "grade").cause is Cause.GRADER
        check(is_grader, f"an exception in grading must be a GraderError, it is {error!r}")
        check("no score today" in describe(error or Exception()), f"the error must say what was raised, got {error!r}")
        return
    check(isinstance(error, GraderError), f"grade of {scenario!r} must raise GraderError, it raised {error!r}")


async def _stay_in_a_tool(backend: Backend, ref: Recipe | EnvRef, marks: Path) -> None:
    async with backend.open(ref) as session:
        await _stay(session, marks)


async def _stay(session: Session, marks: Path) -> None:
    await session.setup("closing", {"marks": str(marks)})
    await session.call_tool("slow", marks=str(marks))
