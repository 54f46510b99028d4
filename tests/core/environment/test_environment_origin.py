"""Which module declares an environment: what backends with a process of their own import."""

from __future__ import annotations

from hud_core import Environment


class Special(Environment):
    def __init__(self, name: str) -> None:
        super().__init__(f"special-{name}")


def test_the_origin_is_the_module_that_makes_the_environment() -> None:
    assert Environment("x").origin["file"] == __file__


def test_a_subclass_elsewhere_is_not_the_origin() -> None:
    code = compile("environment = Special('x')", "elsewhere.py", "exec")
    names = {"Special": Special, "__name__": "elsewhere", "__file__": "elsewhere.py"}
    exec(code, names)
    assert names["environment"].origin == {"module": "elsewhere", "file": "elsewhere.py"}
