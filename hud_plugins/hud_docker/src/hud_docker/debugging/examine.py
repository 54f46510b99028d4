"""Takes an image through the phases of a rollout: it is there, serves, offers, is set up, is graded, and isolated."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from attrs import field, frozen

from hud_core.errors import BackendError, HudError, SetupError
from hud_core.model.evaluation import Answer
from hud_core.model.events import LogLine
from hud_core.model.task import EnvRef
from hud_core.trace import Recorder, current_recorder
from hud_docker.debugging.fixes import find_fix
from hud_docker.debugging.isolation import check_isolation
from hud_docker.debugging.report import LOG_LINES, Examination, Phase
from hud_docker.images import find_image
from hud_docker.options import read_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from hud_core.environment.session import Session
    from hud_core.job.backends import Backends
    from hud_core.model.content import Prompt
    from hud_core.model.events import Event
    from hud_core.model.publications import ListedPrompt
    from hud_docker.engine import Engine

PHASES = 5
EXIT = 10
"""The exit code of a failure is this and the phase's number: no other command of `hud` uses 11 to 15."""
LABEL = "org.hud.debug"
_SAMPLES: Mapping[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}


@frozen(kw_only=True)
class Wanted:
    """What to examine, and how."""

    image: str
    options: Mapping[str, Any] = field(factory=dict, repr=False)
    """Options of the backend ``docker``; variables among them may be secret."""
    max_phase: int = PHASES
    timeout: float = 60.0
    """Seconds that a phase may take; the first, which may build, takes what it takes."""
    scenario: str | None = None
    arguments: Mapping[str, Any] | None = None
    """Arguments of the scenario; made up by their types where nobody says."""
    answer: str = ""
    marker: str = ""
    """Labels the containers, so that they are known among others."""

    @property
    def ref(self) -> EnvRef:
        """How a container is opened."""
        given = {"ready_timeout": self.timeout, "timeout": self.timeout, **self.options}
        labels = {**given.get("labels", {}), LABEL: self.marker}
        return EnvRef(self.image, "docker", {**given, "image": self.image, "pool": 0, "labels": labels})


class _FailedError(Exception):
    """A phase failed, and was told of."""


class Examiner:
    """Runs the phases, one after the other, and tells of each.

    Args:
        wanted: What to examine.
        tell: Called with each phase when it is over.
        log: Called with each line that a container writes.
    """

    def __init__(self, wanted: Wanted, tell: Callable[[Phase], None], log: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._tell = tell
        self._log = log
        self._phases: list[Phase] = []
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._port: int | None = None
        self._mismatch = ""

    async def run(
        self, engine: Callable[[], Awaitable[Engine]], backends: Backends, build: Callable[[], Awaitable[None]] | None
    ) -> Examination:
        """Run the phases, up to the first that fails; the containers are gone afterwards.

        Args:
            engine: Connects to the engine.
            backends: Open containers.
            build: Builds the image; None where it is to be there.
        """
        recorder = Recorder("hud debug")
        recorder.add = self._note
        token = current_recorder.set(recorder)
        try:
            await self._run(engine, backends, build)
        except _FailedError:
            pass
        finally:
            current_recorder.reset(token)
        return Examination(image=self._wanted.image, phases=tuple(self._phases), max_phase=self._wanted.max_phase)

    def _note(self, event: Event) -> None:
        if isinstance(event, LogLine):
            self._lines.append(event.text)
            self._log(event.text)

    async def _run(
        self, connect: Callable[[], Awaitable[Engine]], backends: Backends, build: Callable[[], Awaitable[None]] | None
    ) -> None:
        wanted = self._wanted
        async with AsyncExitStack() as stack:
            async with self._phase(1) as phase:
                phase.tried, phase.failed_title = "looked for a container engine", "No container engine"
                engine = await connect()
                stack.push_async_callback(engine.aclose)
                phase.tried = f"{'built' if build else 'looked for'} {wanted.image}"
                phase.failed_title = "Docker image does not build" if build else "Docker image is not there"
                if build is not None:
                    await build()
                phase.found = await self._look_at(engine)
            if not self._ends_with(1):
                await self._run_container(engine, backends)

    async def _look_at(self, engine: Engine) -> list[str]:
        """Look at the image, and describe it.

        Raises:
            ImageMissingError: The engine has none of that name.
        """
        image = await find_image(engine, read_options(self._wanted.ref))
        found = await engine.read(engine.client.inspect_image, image.id)
        version = await engine.read(engine.client.version)
        self._port, platform = image.port, f"{found['Os']}/{found['Architecture']}"
        here = f"{version['Os']}/{version['Arch']}"
        if platform != here:
            self._mismatch = f"the image is for {platform} and this engine for {here}"
        size, runs = f"{found['Size'] / 1e6:.0f} MB", " ".join(image.command) or "nothing"
        told = [f"{image.id[7:19]}, {size}, {platform}, runs: {runs}"]
        return [*told, f"warning: {self._mismatch}"] if self._mismatch else told

    async def _run_container(self, engine: Engine, backends: Backends) -> None:
        async with AsyncExitStack() as containers:
            async with self._phase(2) as phase:
                how = "over stdio" if self._port is None else f"over HTTP to its port {self._port}"
                phase.tried = f"started a container of {self._wanted.image}, and sent initialize {how}"
                phase.likely = self._mismatch
                session = await containers.enter_async_context(backends.opens(self._wanted.ref))
                phase.found += self._noise()
            if self._ends_with(2):
                return
            scenarios = await self._discover(session)
            if self._ends_with(3):
                return
            chosen = await self._set_up(session, scenarios)
            if not self._ends_with(4):
                await self._grade(engine, session, backends, chosen)

    def _ends_with(self, phase: int) -> bool:
        return self._wanted.max_phase == phase

    def _noise(self) -> list[str]:
        """Say what stands in the way of other clients, though not in ours: text where the protocol is spoken."""
        noise = [line for line in self._lines if line.startswith("(stdout")]
        return [f"warning: {noise[0]}; many clients stop at that: {find_fix(noise[0])}"] if noise else []

    async def _discover(self, session: Session) -> list[ListedPrompt]:
        async with self._phase(3) as phase:
            phase.tried = "listed tools, prompts and resources"
            with anyio.fail_after(self._wanted.timeout):
                tools = await session.list_tools()
                scenarios = list(await session.describe_scenarios())
            phase.found = [f"tools: {_listed(tool.name for tool in tools)}"]
            phase.found.append(f"scenarios: {_listed(map(_shown, scenarios))}")
            if not tools and not scenarios:
                msg = "the server offers no tool and no scenario; declare some with @env.tool and @env.scenario()"
                raise BackendError(msg)
        return scenarios

    async def _set_up(self, session: Session, scenarios: list[ListedPrompt]) -> tuple[str, Mapping[str, Any]]:
        async with self._phase(4) as phase:
            phase.tried = f"looked for the scenario {self._wanted.scenario or 'that needs the fewest arguments'}"
            scenario = self._choose(scenarios)
            arguments = _sample(scenario) if self._wanted.arguments is None else self._wanted.arguments
            phase.tried = f"set up {scenario.name} with {dict(arguments)}"
            if arguments and self._wanted.arguments is None:
                phase.tried += ", which are made up: --args '{...}' gives others"
            with anyio.fail_after(self._wanted.timeout):
                prompt = await session.setup(scenario.name, arguments)
            phase.found = [f"prompt: {_first_line(prompt)}"]
        return scenario.name, arguments

    def _choose(self, scenarios: list[ListedPrompt]) -> ListedPrompt:
        """Choose the scenario that was asked for, or else one that needs the fewest arguments.

        Raises:
            SetupError: There is none.
        """
        name = self._wanted.scenario
        if name is not None:
            scenarios = [one for one in scenarios if name in (one.name, one.name.rpartition(":")[2])]
        if not scenarios:
            msg = (
                f"the server has no scenario{f' {name!r}' if name else ''}, so nothing can be set up and graded; "
                "declare one with @env.scenario(), or stop before with --max-phase 3"
            )
            raise SetupError(msg)
        return min(scenarios, key=lambda one: sum(argument.required for argument in one.arguments))

    async def _grade(
        self, engine: Engine, session: Session, backends: Backends, chosen: tuple[str, Mapping[str, Any]]
    ) -> None:
        async with self._phase(5) as phase:
            phase.tried = (
                f"opened a second container, set up the same there, and graded both with {self._wanted.answer!r}"
            )
            with anyio.fail_after(2 * self._wanted.timeout):
                async with backends.opens(self._wanted.ref) as other:
                    await other.setup(*chosen)
                    for one, name in ((session, "first"), (other, "second")):
                        evaluation = await one.grade(Answer(text=self._wanted.answer))
                        phase.found.append(f"reward of the {name} container: {evaluation.reward:g}")
                    phase.failed_title = "Sessions are not isolated"
                    phase.found.append(await check_isolation(engine, f"{LABEL}={self._wanted.marker}"))

    @asynccontextmanager
    async def _phase(self, number: int) -> AsyncIterator[_Running]:
        """Time a phase, and tell of it."""
        running, began = _Running(number), time.perf_counter()
        try:
            yield running
        except (HudError, TimeoutError) as error:
            text = str(error) if isinstance(error, HudError) else _late(self._wanted.timeout)
            if self._port is not None and "no answer" in text:
                text += f"; nothing answers HTTP on its port {self._port}"
            fix = find_fix(running.likely, text, *reversed(self._lines))
            if fix is None and isinstance(error, HudError) and "\n" not in text:
                text, _, fix = text.partition("; ")  # what is wrong, then what to do: so speak the errors of ours
            failure = {"error": text, "fix": fix or None, "log": tuple(self._lines)}
            self._add(running.over(time.perf_counter() - began, **failure))
            raise _FailedError from error
        self._add(running.over(time.perf_counter() - began))

    def _add(self, phase: Phase) -> None:
        self._phases.append(phase)
        self._tell(phase)


_TITLES = {
    1: ("Docker image exists", "Docker image is not there"),
    2: ("MCP server responds to initialize", "MCP server does not respond to initialize"),
    3: ("Tools and scenarios discovered", "Tool discovery failed"),
    4: ("A scenario is set up", "No scenario can be set up"),
    5: ("It is graded, and sessions are isolated", "Grading failed"),
}


class _Running:
    """A phase that is under way."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.title, self.failed_title = _TITLES[number]
        self.tried = ""
        self.likely = ""
        """What is wrong if the phase fails, whatever else is said."""
        self.found: list[str] = []

    def over(self, seconds: float, **failure: Any) -> Phase:
        return Phase(
            number=self.number,
            title=self.failed_title if failure else self.title,
            passed=not failure,
            seconds=round(seconds, 3),
            tried=self.tried,
            found=tuple(self.found),
            **failure,
        )


def _late(seconds: float) -> str:
    return f"it was not over within {seconds:g} s; --timeout gives it longer"


def _sample(scenario: ListedPrompt) -> dict[str, Any]:
    """Make up the arguments that a scenario needs, by their types."""
    described = scenario.meta.get("arguments")
    kinds = {one.get("name"): one.get("type") for one in described or () if isinstance(one, dict)}
    needed = [argument.name for argument in scenario.arguments if argument.required]
    return {name: _SAMPLES.get(kinds.get(name) or "string", name) for name in needed}


def _shown(scenario: ListedPrompt) -> str:
    names = [argument.name if argument.required else f"{argument.name}?" for argument in scenario.arguments]
    return f"{scenario.name}({', '.join(names)})"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _first_line(prompt: Prompt) -> str:
    return next(iter(prompt.text.strip().splitlines()), "")
