"""How far several judges agree, beyond what chance would give."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from hud_core import Rollout


def krippendorff_alpha(units: Iterable[Sequence[Hashable | None]]) -> float | None:
    """Give Krippendorff's alpha for nominal ratings: 1 is perfect agreement, 0 what chance gives, less is worse.

    The formula is that of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part C: one minus the
    observed share of disagreeing pairs within units over the share among all pairable ratings.

    Args:
        units: For each thing that was rated, its ratings; None where a rater gave none. Fewer than two are left out.

    Returns:
        None where it is not defined: there are no two ratings of one thing, or all ratings everywhere are the same.
    """
    pairable = [rated for unit in units if len(rated := [value for value in unit if value is not None]) > 1]
    totals = Counter(value for rated in pairable for value in rated)
    count = totals.total()
    expected = count**2 - sum(n**2 for n in totals.values())
    if not expected:
        return None
    observed = sum((len(r) ** 2 - sum(n**2 for n in Counter(r).values())) / (len(r) - 1) for r in pairable)
    return 1 - (count - 1) * observed / expected


def alpha_of(rollouts: Iterable[Rollout]) -> float | None:
    """Give Krippendorff's alpha over all that judges judged in these rollouts, as `krippendorff_alpha` does.

    Args:
        rollouts: Such as those of a job, or of `hud_core.job.directory.read_rollouts`.
    """
    return krippendorff_alpha(
        [verdict["is_met"] for verdict in criterion["verdicts"]]
        for rollout in rollouts
        for score in (() if rollout.evaluation is None else rollout.evaluation.subscores or ())
        for criterion in (score.metadata or {}).get("criteria", ())
    )
