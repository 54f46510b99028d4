from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_docker.errors import EngineError
from hud_docker.frames import STDERR, STDOUT, Demultiplexer

frames = st.lists(st.tuples(st.sampled_from([0, STDOUT, STDERR]), st.binary(max_size=300)), max_size=12)


def encoded(written):
    return b"".join(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in written)


def sorted_out(pieces):
    found = {0: b"", STDOUT: b"", STDERR: b""}
    for stream, data in pieces:
        found[stream] += data
    return found


@given(frames, st.data())
def test_streams_are_told_apart_whatever_pieces_their_frames_come_in(written, data):
    raw = encoded(written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    reader = Demultiplexer()
    pieces = [
        piece for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True) for piece in reader.feed(raw[start:end])
    ]
    assert sorted_out(pieces) == sorted_out(written)


@given(st.binary(min_size=1, max_size=8).filter(lambda data: data[0] > STDERR or any(data[1:4])))
def test_what_is_no_frame_is_refused_as_soon_as_that_shows(data):
    with pytest.raises(EngineError, match="no frame"):
        list(Demultiplexer().feed(data))


def test_data_is_passed_on_before_its_frame_is_whole():
    reader = Demultiplexer()
    assert list(reader.feed(bytes([STDOUT, 0, 0, 0, 0, 0, 0, 5]) + b"ab")) == [(STDOUT, b"ab")]
    assert list(reader.feed(b"cde")) == [(STDOUT, b"cde")]
