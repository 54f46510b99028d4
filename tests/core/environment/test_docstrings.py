"""What docstrings say of functions and their parameters, in every style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.environment.docstrings import read_docstring

NAMES = frozenset({"word", "count", "letter"})

GOOGLE = """Count letters.

More about it,
over two lines.

Args:
    word (dict[str, (int)], optional): The word
        goes on.

        And: a paragraph.
    count: Number: of them.
    stranger: skipped
        with this.
    letter: One.

Returns:
    The count.

Raises:
    ValueError: never shown
"""

NUMPY = """Count letters.

Parameters
----------
word : str
    The word
    goes on.
count, letter : int, optional
    Both.

Returns
-------
int
    The count.

Raises
------
ValueError
    never shown
"""

SPHINX = """Count letters.

:param word: The word
    goes on.
:param int count: Number.
:type count: int
:raises ValueError: never shown
"""

PLAIN = """Count letters.

word: The word
    goes on.
- count: Number.
Words: are counted.
"""


@pytest.mark.parametrize(
    ("docstring", "description", "parameters"),
    [
        (
            GOOGLE,
            "Count letters.\n\nMore about it,\nover two lines.\n\nReturns:\n    The count.",
            {"word": "The word goes on. And: a paragraph.", "count": "Number: of them.", "letter": "One."},
        ),
        (
            NUMPY,
            "Count letters.\n\nReturns\n-------\nint\n    The count.",
            {"word": "The word goes on.", "count": "Both.", "letter": "Both."},
        ),
        (SPHINX, "Count letters.", {"word": "The word goes on.", "count": "Number."}),
        (PLAIN, "Count letters.\n\nWords: are counted.", {"word": "The word goes on.", "count": "Number."}),
        (None, "", {}),
        ("   ", "", {}),
        ("One line.", "One line.", {}),
        ("Args:\nword: at the margin.\n", "", {"word": "at the margin."}),
        ("Do.\n\nArgs:\n    word: a\nUse it well.", "Do.\n\nUse it well.", {"word": "a"}),
        ("Do.\n\nArguments:\n    **word: a\n    *count: b", "Do.", {"word": "a", "count": "b"}),
        ("Do.\n\nArgs:\n    word:\n        below", "Do.", {"word": "below"}),
        ("Read a file: any.\n\nurl: http://x", "Read a file: any.\n\nurl: http://x", {}),
    ],
    ids=["google", "numpy", "sphinx", "plain", "none", "blank", "line", "margin", "after", "stars", "below", "urls"],
)
def test_styles(docstring: str | None, description: str, parameters: dict[str, str]) -> None:
    assert read_docstring(docstring, NAMES) == (description, parameters)


@given(st.text(alphabet="word: \n-=Args()*count.", max_size=200))
def test_any_text_is_read(text: str) -> None:
    documentation = read_docstring(text, NAMES)
    assert documentation.parameters.keys() <= NAMES
    assert all(documentation.parameters.values())
