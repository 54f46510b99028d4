"""`Grade`: sub-scores made into one evaluation."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import anyio
import attrs

from hud_core import Evaluation, SubScore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence


class Grade:
    """Makes an evaluation of sub-scores; what a scenario yields last."""

    @staticmethod
    def from_subscores(subscores: Sequence[SubScore]) -> Evaluation:
        """Weigh sub-scores into one reward: the sum of value times weight.

        Positive weights are scaled to sum to 1; negative ones, penalties, count as they are, so a reward may be below
        0. Of sub-scores with one name each gets a number: ``name-1``, ``name-2``. ``info`` has the metadata of each.

        Raises:
            ValueError: There is no sub-score with a positive weight.
        """
        reward = Evaluation.from_subscores(list(subscores)).reward
        total = sum(score.weight for score in subscores if score.weight > 0)
        parts = [
            attrs.evolve(score, name=name, weight=score.weight / total if score.weight > 0 else score.weight)
            for score, name in zip(subscores, _names(subscores), strict=True)
        ]
        info = {part.name: part.metadata for part in parts if part.metadata}
        return Evaluation(reward=reward, subscores=parts, info=info)

    @staticmethod
    async def gather(*parts: SubScore | Awaitable[SubScore]) -> Evaluation:
        """Await graders all at once, and weigh what they give with sub-scores that are there already.

        The first one that fails cancels the others, and its exception is raised.

        Raises:
            TypeError: A part is neither a sub-score nor something to await that gives one.
            ValueError: As for `from_subscores`.
        """
        scores: list[SubScore] = [_NOTHING] * len(parts)

        async def wait(place: int, part: SubScore | Awaitable[SubScore]) -> None:
            scores[place] = _score(part if isinstance(part, SubScore) else await part)

        try:
            for part in parts:
                if not isinstance(part, SubScore) and not inspect.isawaitable(part):
                    _score(part)
            async with anyio.create_task_group() as tasks:
                for place, part in enumerate(parts):
                    tasks.start_soon(wait, place, part)
        except ExceptionGroup as group:
            raise _first(group) from None
        finally:
            for part in parts:
                if inspect.iscoroutine(part):
                    part.close()  # one that was never begun would be complained about
        return Grade.from_subscores(scores)


_NOTHING = SubScore(name="", value=0.0)


def _score(value: object) -> SubScore:
    if not isinstance(value, SubScore):
        msg = f"expected a SubScore or something to await that gives one, got {type(value).__name__} {value!r}"
        raise TypeError(msg)
    return value


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _names(subscores: Sequence[SubScore]) -> Iterator[str]:
    """Give each sub-score a name of its own."""
    given = [score.name for score in subscores]
    taken = set(given)
    for name in given:
        if given.count(name) == 1:
            yield name
            continue
        count = 1
        while f"{name}-{count}" in taken:
            count += 1
        taken.add(f"{name}-{count}")
        yield f"{name}-{count}"
