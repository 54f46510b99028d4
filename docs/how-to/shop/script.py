import asyncio

from hud import Environment

env = Environment("my-env")
env.connect_image("my-env:latest")


async def main() -> None:
    result = await env("checkout", product="laptop").run("claude-sonnet-4-5")
    print(f"Reward: {result.reward}")


asyncio.run(main())
