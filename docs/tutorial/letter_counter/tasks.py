"""Three tasks of the letter counter, each with the calls and the answer that solve it."""

from __future__ import annotations

from env import count

from hud.types import MCPToolCall

strawberry_r = count.task(text="strawberry", letter="r")
strawberry_r.slug = "strawberry-r"
strawberry_r.validation = [MCPToolCall(name="count_letter", arguments={"text": "strawberry", "letter": "r"})]
strawberry_r.answer = "3"

mississippi_s = count.task(text="mississippi", letter="s")
mississippi_s.slug = "mississippi-s"
mississippi_s.validation = [MCPToolCall(name="count_letter", arguments={"text": "mississippi", "letter": "s"})]
mississippi_s.answer = "4"

abracadabra_a = count.task(text="abracadabra", letter="a")
abracadabra_a.slug = "abracadabra-a"
abracadabra_a.validation = [MCPToolCall(name="count_letter", arguments={"text": "abracadabra", "letter": "a"})]
abracadabra_a.answer = "5"
