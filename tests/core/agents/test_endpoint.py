from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import anyio
import pytest
from attrs import field, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from hud_core.agents.endpoint import (
    ClientPerLoop,
    address_of,
    innermost,
    must_be_url,
    public_url,
    retry_after,
    without_secrets,
)
from hud_core.errors import ConfigError


class FakeClient:
    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed += 1

    def is_closed(self) -> bool:
        return self.closed > 0


# --- a client for each event loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_event_loop_has_a_client_that_is_closed_with_it(backend: str) -> None:
    made: list[FakeClient] = []

    def make() -> FakeClient:
        made.append(FakeClient())
        return made[-1]

    clients = ClientPerLoop(make)

    async def use_twice() -> None:
        assert await clients.get() is await clients.get()

    for _ in range(2):
        anyio.run(use_twice, backend=backend)
    assert [client.closed for client in made] == [1, 1]


async def test_a_client_that_was_closed_is_made_anew() -> None:
    clients = ClientPerLoop(FakeClient)
    first = await clients.get()
    await clients.aclose()
    await clients.aclose()
    assert first.closed == 1
    assert await clients.get() is not first
    await clients.aclose()


# --- addresses --------------------------------------------------------------------------------------------------------


@frozen
class Config:
    base_url: str | None = field(validator=must_be_url)


@pytest.mark.parametrize("url", [None, "http://localhost:8000/v1", "https://x.test?key=1"])
def test_addresses_that_are_taken(url: str | None) -> None:
    assert Config(url).base_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "setting 'base_url' must begin with http:// or https://"),
        ("ftp://me:secret@x", "setting 'base_url' must begin with http"),
        ("http://me:secret@x", "setting 'base_url' must hold no user and password"),
    ],
)
def test_addresses_that_are_not(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        Config(url)
    assert "secret" not in str(raised.value)


def test_what_may_be_secret_in_an_address_is_not_shown() -> None:
    assert public_url("https://me:secret@x.test:8/v1?key=secret#secret") == "https://x.test:8/v1"
    assert public_url(None) is None
    assert public_url("http://me:secret@[x?key=secret") == "http://[x"


def test_what_was_sent_in_confidence_is_taken_out_of_a_text_the_longest_first() -> None:
    told = "sk-planted-1 and sk-planted-1-more, for a tenant; a is a word"
    assert without_secrets(told, "sk-planted-1", None, "", "a", "sk-planted-1-more") == (
        "*** and ***, for a tenant; a is a word"
    )


def test_the_address_of_a_client_is_told_without_secrets() -> None:
    assert address_of(SimpleNamespace(base_url="http://me:secret@host/v1/?key=secret")) == "http://host/v1"
    assert address_of(SimpleNamespace(base_url="http://host/v1/")) == "http://host/v1"
    assert address_of(object()) is None


# --- waits and causes -------------------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6))
def test_seconds_and_milliseconds_are_read_and_never_negative(seconds: float) -> None:
    wanted = max(0.0, seconds)
    assert retry_after({"retry-after": str(seconds)}) == wanted
    told = {"retry-after": "9", "retry-after-ms": str(seconds * 1000)}
    assert retry_after(told) == pytest.approx(wanted)


@given(st.integers(-1000, 1000))
def test_a_date_is_read_as_seconds_from_now(seconds: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    read = retry_after({"retry-after": date})
    assert read is not None
    assert max(0, seconds) - 60 < read <= max(0, seconds)


DATES = [None, "soon", "", "Fri, 31 Dec 1999 23:59:59 -0000", "Fri, 31 Dec 99999999999 23:59:59 GMT", "nan"]


@given(st.sampled_from(DATES) | st.text(max_size=30))
@example("0")
def test_whatever_stands_there_is_a_wait_or_none(text: str | None) -> None:
    read = retry_after({} if text is None else {"retry-after": text})
    assert read is None or read >= 0


def test_the_first_cause_is_found() -> None:
    first = OSError("first")
    second = ValueError("second")
    second.__cause__ = first
    assert innermost(second) is innermost(first) is first
