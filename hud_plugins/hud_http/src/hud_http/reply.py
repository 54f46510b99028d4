"""Reading one HTTP reply, in whatever pieces it arrives."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import httptools

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 256 * 1024 * 1024
"""Bytes of a reply at the most, before and after it is decompressed. The longest known hold pictures."""
MOST_OF_HEAD = 256 * 1024
"""Bytes before the body at the most."""
ENCODINGS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}
"""Content encodings that are undone, and what zlib calls their format. None of them is asked for."""
READ = frozenset(
    (
        b"content-length", b"transfer-encoding", b"content-encoding", b"content-type", b"location", b"request-id",
        b"x-request-id", b"retry-after", b"retry-after-ms",
    )
)  # fmt: skip
"""The headers that somebody reads; there are dozens of others."""


class BadReplyError(Exception):
    """What came is no HTTP reply, or not a whole one."""


class TooLongError(BadReplyError):
    """The reply is longer than any that makes sense."""


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """At least those that somebody reads, by their names in lower case."""
    body: bytes


class ReplyReader:
    """Reads one reply; interim ones (100 Continue, 103 Early Hints) before it are skipped."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # As browsers and aiohttp do: servers that people write themselves end their lines as they like.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._received = 0
        self._status = 0
        self.is_done = False
        """Whether the reply is whole."""
        self.is_reusable = False
        """Whether the connection may be used for another request."""

    @property
    def has_begun(self) -> bool:
        """Whether anything at all has come."""
        return self._received > 0

    @property
    def status(self) -> int:
        """The status, once the head of the reply was read; 0 before."""
        return self._status

    def feed(self, data: bytes) -> None:
        """Read a piece.

        Raises:
            BadReplyError: It is not HTTP, or too long.
        """
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise BadReplyError("it switches to another protocol") from error
        except httptools.HttpParserError as error:
            if not self.is_done:  # what follows a reply spoils the connection, and not the reply
                raise BadReplyError(f"it is not HTTP: {error}") from error
        most = MOST if self._status else MOST_OF_HEAD
        if self._received > most:
            raise TooLongError(f"it is longer than {most:,} bytes")

    def feed_or_end(self, data: bytes) -> None:
        """Read what a connection gave: a piece, or nothing, which is its end.

        Where the head does not say how long the body is, that is where the body ends.

        Raises:
            ConnectionError: Nothing came at all.
            BadReplyError: It is not HTTP, too long, or not whole.
        """
        if data:
            return self.feed(data)
        if not self.has_begun:
            raise ConnectionResetError("the connection was closed")
        return self._end()

    def _end(self) -> None:
        is_delimited = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if not self._status or is_delimited:
            raise BadReplyError("the connection was closed in the middle")
        self.is_done = True

    def reply(self) -> Reply:
        """Give the reply, once it is whole.

        Raises:
            BadReplyError: Its encoding is unknown, or broken.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}
        return Reply(self._status, headers, self._decoded(b"".join(self._body)))

    def _decoded(self, body: bytes) -> bytes:
        encoding = self._headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding == b"identity" or not body:
            return body
        if encoding not in ENCODINGS:
            raise BadReplyError(f"its encoding is {encoding.decode('latin-1')!r}, which nobody asked for")
        return _decompressed(body, ENCODINGS[encoding])

    def close(self) -> None:
        """Let go of the parser, which holds on to this object: else only a garbage collection would part them."""
        del self._parser

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Take note of the first byte of a reply."""
        if self.is_done:
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; of one that comes twice, both values."""
        name = name.lower()
        if name not in READ or self.is_done:
            return
        self._headers[name] = value if name not in self._headers else self._headers[name] + b", " + value

    def on_headers_complete(self) -> None:
        """Take note of the end of the head."""
        if self.is_done:
            return
        status = self._parser.get_status_code()
        if status >= 200:  # noqa: PLR2004
            self._status = status
        else:
            self._headers.clear()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if not self.is_done:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """Take note of the end of a reply."""
        if self._status and not self.is_done:
            self.is_done = True
            self.is_reusable = self._parser.should_keep_alive()


def _decompressed(body: bytes, form: int) -> bytes:
    """Undo gzip or deflate; some servers' deflate lacks the header that it should have."""
    for wbits in (form, -15) if form == ENCODINGS[b"deflate"] else (form,):
        machine = zlib.decompressobj(wbits)
        try:
            plain = machine.decompress(body, MOST)
        except zlib.error:
            continue
        if machine.unconsumed_tail:
            raise TooLongError(f"it is longer than {MOST:,} bytes when it is decompressed")
        if machine.eof:
            return plain
    raise BadReplyError("its compression is broken")
