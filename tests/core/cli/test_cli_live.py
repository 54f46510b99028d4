"""The words of the progress display, and that a log is not flooded."""

from __future__ import annotations

import pytest

from hud.cli.evaluate.live import Lines, Silent, counts, duration, facts, invalid, pressure, spent, time_left
from hud_core.job import Progress
from hud_core.metering.meter import JobMeter, Meter
from hud_core.model.rollout import Usage


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m 0s"), (3599, "59m 59s"), (3600, "1h 0m"), (3_600_000, "1,000h 0m")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def progress(**given: object) -> Progress:
    made = Progress(total=10_000)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def test_progress_is_put_into_words() -> None:
    made = progress(scored=1_200, reward_sum=900.0, running=30, reused=200, retried=4)
    made.causes.update({"timeout": 1, "provider": 7})
    assert counts(made) == "1,208/10,000"
    assert facts(made) == ["mean 0.750", "30 running", "200 kept", "4 retried"]
    assert invalid(made) == "8 invalid: provider 7, timeout 1"
    assert time_left(made).endswith(" left")


def test_spending_and_pressure_are_put_into_words() -> None:
    meter = JobMeter(Meter())
    made = progress(meter=meter)
    assert (spent(made), pressure(made)) == ("", "")
    meter.purse.spent = Usage(calls=2, input_tokens=1_000, output_tokens=500, cost=1.2345)
    assert facts(made)[-1] == spent(made) == "$1.23 spent"
    meter.purse.spent += Usage(calls=1, input_tokens=1)
    assert spent(made) == "1,501 tokens"
    throttle = meter.meter.throttle("e", "gpt-x")
    throttle.running = 3
    assert pressure(made) == ""
    throttle.controller.refuse(0.0)
    throttle.controller.limit = 41
    assert pressure(made) == "gpt-x: 3 of 41 at once, 1 refused"


def test_what_is_not_known_is_not_said() -> None:
    made = progress(total=None)
    assert (counts(made), facts(made), invalid(made), time_left(made)) == ("0 done", ["0 running"], "", "")


def test_a_line_is_printed_now_and_then_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(seconds=0)
    for scored in (1, 1, 2):
        lines.update(progress(scored=scored, total=None))
    assert capsys.readouterr().err == "1 done, mean 0.000, 0 running\n2 done, mean 0.000, 0 running\n"
    patient = Lines(seconds=3_600)
    patient.update(progress(scored=3))
    Silent().update(progress(scored=3))
    assert capsys.readouterr() == ("", "")
