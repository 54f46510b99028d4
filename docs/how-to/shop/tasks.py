"""The tasks of the shop, which run in containers of the image that `hud build` made last."""

from __future__ import annotations

from hud import Environment

env = Environment("my-env")
env.connect_image("my-env:latest")

cheapest_laptop = env("checkout", product="laptop")
cheapest_laptop.slug = "cheapest-laptop"
cheapest_laptop.validation = [{"name": "order", "arguments": {"product": "Swift 14"}}]

cheapest_lamp = env("checkout", product="lamp")
cheapest_lamp.slug = "cheapest-lamp"
cheapest_lamp.validation = [{"name": "order", "arguments": {"product": "Arc"}}]
