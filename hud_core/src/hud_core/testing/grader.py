"""What every grader must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest

from hud_core.errors import ConfigError, GraderError, HudError
from hud_core.job.regrading import GoneSession
from hud_core.model.evaluation import Answer, SubScore
from hud_core.testing.contract import Contract, check, optional, required
from hud_core.testing.environments import contract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hud_core.environment.session import Session
    from hud_core.interfaces import Grader

ANSWERS = 8
"""Answers graded at once by one object."""


class GraderContract(Contract):
    """Proves a grader.

    ```python
    import pytest

    from hud_core import Answer
    from hud_core.testing import GraderContract
    from my_plugin.grader import Polite


    class TestPolite(GraderContract):
        good = Answer(text="please")
        bad = Answer(text="now!")

        @pytest.fixture
        def grader(self):
            return Polite()
    ```

    A grader that can fail to measure, because it asks a service or a file, overrides `unmeasurable`.
    """

    good: ClassVar[Answer] = Answer(text="good")
    """An answer with a high value."""
    bad: ClassVar[Answer] = Answer(text="bad")
    """An answer with a lower value."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The options to grade with, as a task's row gives them."""

    @pytest.fixture
    def grader(self) -> Grader:
        """The grader to prove."""
        what, owner = "grader", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def unmeasurable(self) -> Grader:  # type: ignore[return]  # skips
        """A grader whose measurement fails, whatever the answer."""
        optional("unmeasurable", "a measurement that fails is a GraderError, not a 0")

    @pytest.fixture
    async def session(self) -> AsyncIterator[Session]:
        """The live environment: the contract's, with a scenario set up."""
        session = contract.session()
        await session.setup("letters", {"word": "strawberry"})
        yield session
        await session.aclose()

    async def test_a_grade_is_a_sub_score(self, grader: Grader, session: Session) -> None:
        score = await grader.grade(self.good, session, **self.options)
        check(isinstance(score, SubScore), f"grade must return a SubScore, it returned {score!r}")
        check(score.name, "a SubScore must have a name: reports show it")

    async def test_a_good_answer_is_worth_more(self, grader: Grader, session: Session) -> None:
        good = await grader.grade(self.good, session, **self.options)
        bad = await grader.grade(self.bad, session, **self.options)
        check(
            good.value > bad.value,
            f"the good answer must be worth more than the bad one, they are worth {good.value} and {bad.value}",
        )

    async def test_an_empty_answer_is_graded(self, grader: Grader, session: Session) -> None:
        score = await grader.grade(Answer(), session, **self.options)
        check(isinstance(score, SubScore), f"an empty answer must be graded like any other, grade gave {score!r}")

    async def test_an_unknown_option_is_refused(self, grader: Grader, session: Session) -> None:
        try:
            score = await grader.grade(self.good, session, **{**self.options, "no_such_option": 1})
        except (TypeError, ConfigError):
            return
        check(holds=False, message=f"an option that grade does not know must be refused, it gave {score!r}")

    async def test_the_check_takes_what_it_is_graded_with(self, grader: Grader) -> None:
        try:
            grader.check(**self.options)
        except HudError as error:
            check(holds=False, message=f"check must take the options that grade takes, it refused them: {error}")

    async def test_one_that_needs_no_session_looks_at_none(self, grader: Grader) -> None:
        if grader.needs_session:
            pytest.skip("the grader looks at the live environment: it cannot grade a stored answer")
        try:
            await grader.grade(self.good, GoneSession(), **self.options)
        except GraderError as error:
            check(holds=False, message=f"needs_session is False, so the session must not be used: {error}")

    async def test_the_same_answer_has_the_same_grade(self, grader: Grader, session: Session) -> None:
        alone = (await grader.grade(self.good, session, **self.options)).value
        values: list[float] = []

        async def attempt() -> None:
            values.append((await grader.grade(self.good, session, **self.options)).value)

        async with anyio.create_task_group() as group:
            for _ in range(ANSWERS):
                group.start_soon(attempt)
        check(values == [alone] * ANSWERS, f"alone the answer is worth {alone}, {ANSWERS} at once are worth {values}")

    async def test_what_cannot_be_measured_is_a_grader_error(self, unmeasurable: Grader, session: Session) -> None:
        try:
            score = await unmeasurable.grade(self.good, session, **self.options)
        except GraderError:
            return
        check(holds=False, message=f"a measurement that fails must raise GraderError, grade gave {score!r}")
