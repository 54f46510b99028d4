"""What may be secret in the addresses that a text names is not shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hud_core.environment.references import bare_url, bare_urls

PART = st.text("abc:@.%_-", max_size=5)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://user:pw@host:1/a@v1/b.jsonl?sig=x#y 'http://h?z'", "GET https://host:1/a@v1/b.jsonl 'http://h'"),
        ('{"url":"HTTPS://me:pw@host?key=a","mail":"me@x"}', '{"url":"HTTPS://host","mail":"me@x"}'),
        ("as in [http://me:pw@host]", "as in [http://host]"),
        ("org/name@v1:test", "org/name@v1:test"),
        ("is it http? me@host", "is it http? me@host"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert bare_urls(text) == shown


@given(st.builds("http://{}h/{}?{}#{}".format, st.just("") | PART.map("{}@".format), PART, PART, PART))
@example("http://me:p@ss@host/a")
def test_an_address_is_shown_the_same_alone_and_in_a_text(url: str) -> None:
    assert bare_urls(f"POST {url} failed") == f"POST {bare_url(url)} failed"
