from __future__ import annotations

import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_graders.agreement import krippendorff_alpha

RATING = st.none() | st.integers(0, 3)


@given(
    st.integers(2, 5).flatmap(lambda raters: st.lists(st.lists(RATING, min_size=raters, max_size=raters), min_size=1))
)
def test_it_is_what_the_package_gives(units: list[list[int | None]]) -> None:
    data = np.array([[math.nan if value is None else value for value in unit] for unit in units]).T
    pairable = {value for unit in units if sum(v is not None for v in unit) > 1 for value in unit if value is not None}
    found = krippendorff_alpha(units)
    if len(pairable) < 2:
        assert found is None
    else:
        assert found == pytest.approx(krippendorff.alpha(reliability_data=data, level_of_measurement="nominal"))


def test_an_example_worked_by_hand() -> None:
    # 4 units of 2 ratings: 8 values, 5 yes and 3 no; one unit disagrees. 1 - 7 * 2 / (64 - 25 - 9)
    assert krippendorff_alpha(["yy", "yy", "nn", "yn"]) == pytest.approx(1 - 14 / 30)
