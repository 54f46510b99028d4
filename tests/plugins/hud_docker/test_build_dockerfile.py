"""What a Dockerfile says without being built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_docker.building.dockerfile import Dockerfile


def test_instructions_have_their_lines_and_are_joined():
    text = "# syntax=docker/dockerfile:1\n\nFROM a\n# note\nrun one && \\\n  # in between\n\n  two\nCMD x"
    assert Dockerfile(text).instructions == [(3, "FROM", "a"), (5, "RUN", "one && two"), (9, "CMD", "x")]


def test_inline_documents_are_no_instructions():
    text = "FROM a\nRUN <<EOF\nENV X=\nEOF\nCOPY <<-'B' <<A /x/\n\tFROM no\n\tB\nA\nENV Y="
    found = Dockerfile(text)
    assert [one.keyword for one in found.instructions] == ["FROM", "RUN", "COPY", "ENV"]
    assert found.variables() == (["Y"], [])


def test_another_escape_sign_may_be_chosen():
    assert Dockerfile("# escape=`\nFROM a\nRUN one `\n two").instructions[1] == (3, "RUN", "one two")


@pytest.mark.parametrize(
    ("text", "required", "optional"),
    [
        ("FROM a\nENV X=", ["X"], []),
        ("FROM a\nENV X", ["X"], []),
        ('FROM a\nENV X=""', ["X"], []),
        ("FROM a\nENV X=1 Y='two words' Z=", ["Z"], ["X", "Y"]),
        ("FROM a\nENV X two words", [], ["X"]),
        ("FROM a\nARG K\nENV X=$K Y=${K} Z=${K:-d}", ["X", "Y"], ["Z"]),
        ("FROM a\nARG K=v\nENV X=$K", [], ["X"]),
        ("FROM a\nENV X=\nENV X=later", [], ["X"]),
        ("FROM a AS one\nENV X=\nFROM b\nENV Y=", ["Y"], []),
        ("FROM a AS One\nENV X=\nFROM one\nENV Y=", ["X", "Y"], []),
        ("FROM a\nRUN export X=", [], []),
        ("", [], []),
        ("ENV X=", [], []),
    ],
)
def test_the_variables_of_the_image(text, required, optional):
    assert Dockerfile(text).variables() == (required, optional)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.11-slim", "python:3.11-slim"),
        ("FROM --platform=linux/amd64 python:3.11 AS base\nFROM base", "python:3.11"),
        ("FROM golang AS build\nFROM debian\nCOPY --from=build /x /x", "debian"),
        ("ARG BASE=python:3.11\nFROM $BASE", "python:3.11"),
        ("ARG V\nFROM python:${V:-3.12}-slim", "python:3.12-slim"),
        ("FROM a AS a\nFROM a", "a"),
        ("", None),
    ],
)
def test_the_base_image_is_that_of_the_last_stage(text, expected):
    assert Dockerfile(text).base_image({}) == expected


def test_build_arguments_choose_the_base_image():
    assert Dockerfile("ARG BASE=a\nFROM ${BASE}").base_image({"BASE": "b"}) == "b"


KINDS = ["FROM a", "FROM a AS b", "FROM b", "ENV X=", "ENV 'X", "RUN <<E", "E", "# c", "", "RUN x \\", "\\", "ARG"]
LINES = st.lists(st.sampled_from(KINDS), max_size=12)


@given(LINES)
def test_any_lines_are_read(lines):
    found = Dockerfile("\n".join(lines))
    found.variables()
    found.base_image({})
    numbers = [one.line for one in found.instructions]
    assert numbers == sorted(set(numbers))
    assert all(lines[number - 1].strip() for number in numbers)


@given(st.text(max_size=80))
def test_any_text_is_read(text):
    Dockerfile(text).variables()
