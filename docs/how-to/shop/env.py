"""A shop whose products and orders are in PostgreSQL, which runs beside this code in the container."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import psycopg

from hud import Environment

env = Environment("my-env")
DATABASE = "host=/tmp user=postgres dbname=shop"


@env.tool
def search(kind: str) -> list[dict[str, str | int]]:
    """Find products of a kind, such as "lamp"; prices are in cents."""
    found = _rows("select name, price from products where kind = %s order by name", kind)
    return [{"name": str(name), "price": int(price)} for name, price in found]


@env.tool
def order(product: str, quantity: int = 1) -> str:
    """Order a product by its whole name."""
    if not _rows("insert into orders select name, %s from products where name = %s returning 1", quantity, product):
        raise LookupError(f"no product is called {product!r}; search for it first")
    return f"ordered {quantity} of {product}"


@env.scenario()
async def checkout(product: str) -> AsyncGenerator[str | float, str]:
    """Ask to buy the cheapest product of a kind."""
    yield f"Buy one {product}, the cheapest there is."

    cheapest = _rows("select name, 1 from products where kind = %s order by price limit 1", product)
    yield 1.0 if cheapest and _rows("select product, quantity from orders") == cheapest else 0.0


def _rows(query: str, *values: str | int) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(DATABASE) as connection:
        return connection.execute(query.encode(), values).fetchall()
