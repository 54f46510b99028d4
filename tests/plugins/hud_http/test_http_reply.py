"""A reply is read the same in whatever pieces it arrives, and what is none is told."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_http import reply as module
from hud_http.reply import BadReplyError, Reply, ReplyReader, TooLongError

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 9\r\n\r\n"
NOISE = "x-a: 1\r\nX-Request-ID: req-7\r\nvia: é\r\n".encode("latin-1")


def in_length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def in_chunks(body: bytes) -> bytes:
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    chunks = b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-trailer: 1\r\n\r\n"


def to_the_end(body: bytes) -> bytes:
    return b"\r\n" + body


def raw_deflate(body: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(body) + machine.flush()


ENCODED = {b"identity": bytes, b"gzip": gzip.compress, b"deflate": zlib.compress, b"Deflate": raw_deflate}
FRAMED = [in_length, in_chunks, to_the_end]


@st.composite
def pieces_of(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    places = draw(st.lists(st.integers(0, len(whole)), max_size=8)) if len(whole) > 40 else list(range(len(whole)))
    return [whole[start:end] for start, end in pairwise([0, *sorted({0, *places, len(whole)})]) if start < end]


def read(pieces: list[bytes]) -> tuple[ReplyReader, Reply]:
    reader = ReplyReader()
    for piece in pieces:
        reader.feed_or_end(piece)
    if not reader.is_done:
        reader.feed_or_end(b"")
    return reader, reader.reply()


@given(st.data(), st.binary(max_size=200), st.sampled_from(FRAMED), st.sampled_from(sorted(ENCODED)), st.booleans())
def test_the_pieces_make_no_difference(data, body, framed, encoding, lonely_lf) -> None:
    interim = b"".join(data.draw(st.lists(st.sampled_from(INTERIM), max_size=2)))
    coded = ENCODED[encoding](body)
    head = b"HTTP/1.1 200 OK\r\n" + NOISE + b"Content-Encoding: %b\r\n" % encoding
    if lonely_lf and framed is not in_chunks:
        head = head.replace(b"\r\n", b"\n")
    reader, reply = read(data.draw(pieces_of(interim + head + framed(coded))))
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["x-request-id"] == "req-7"
    assert reader.is_reusable == (framed is not to_the_end)


@given(st.data(), st.binary(max_size=60), st.sampled_from([in_length, in_chunks]))
def test_what_is_cut_off_is_no_reply(data, body, framed) -> None:
    whole = b"HTTP/1.1 200 OK\r\n" + NOISE + framed(body)
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises((BadReplyError, ConnectionResetError)) as raised:
        read(data.draw(pieces_of(whole[:place])))
    assert isinstance(raised.value, ConnectionResetError) == (place == 0)


@given(st.data(), st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 2", INTERIM[0]]))
def test_anything_else_is_told_in_one_way(data, noise, start) -> None:
    with contextlib.suppress(BadReplyError, ConnectionResetError):
        read(data.draw(pieces_of(start + noise)))


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HTTP", b"\x00"])
@pytest.mark.parametrize("is_apart", [True, False])
def test_what_follows_a_reply_spoils_the_connection_and_not_the_reply(more: bytes, is_apart: bool) -> None:
    whole = b"HTTP/1.1 200 OK\r\n" + in_length(b"hi")
    reader = ReplyReader()
    for piece in [whole, more] if is_apart else [whole + more]:
        reader.feed(piece)
    assert (reader.reply().body, reader.is_reusable) == (b"hi", False)


@pytest.mark.parametrize(
    ("head", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n", True),
        (b"HTTP/1.1 500\r\n", True),
    ],
)
def test_which_connections_may_be_used_again(head: bytes, is_reusable: bool) -> None:
    reader, _ = read([head + in_length(b"")])
    assert reader.is_reusable == is_reusable


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n" + in_length(b"x"), "'br', which nobody asked for"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\n" + in_length(b"x"), "nobody asked for"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + in_length(b"x"), "compression is broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + in_length(gzip.compress(b"x", mtime=0)[:-4]), "broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-pad: " + b"y" * 300_000, "longer than 262,144 bytes"),
    ],
)
def test_what_is_no_reply(whole: bytes, said: str) -> None:
    with pytest.raises(BadReplyError, match=said):
        read([whole])


def test_a_reply_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100_000)
    bomb = gzip.compress(bytes(1_000_000))
    for body in (b"content-encoding: gzip\r\n" + in_length(bomb), to_the_end(bytes(200_000))):
        with pytest.raises(TooLongError, match="longer than 100,000 bytes"):
            read([b"HTTP/1.1 200 OK\r\n" + body])
