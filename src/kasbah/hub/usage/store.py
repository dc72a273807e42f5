"""Usage counters in SQL: sums by name, and the distinct ids seen by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import metadata

counters = sa.Table(
    "usage_counters",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("value", sa.BigInteger(), nullable=False),
)

uniques = sa.Table(
    "usage_uniques",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("value", sa.BigInteger(), primary_key=True, autoincrement=False),
)


async def increase(connection: AsyncConnection, increments: Mapping[str, int]) -> None:
    for name, increment in increments.items():
        raised = await connection.execute(
            counters.update().where(counters.c.name == name).values(value=counters.c.value + increment)
        )
        if not raised.rowcount:
            await connection.execute(counters.insert().values(name=name, value=increment))


async def add_uniques(connection: AsyncConnection, name: str, values: Iterable[int]) -> None:
    wanted = set(values)
    known = await connection.execute(
        sa.select(uniques.c.value).where(uniques.c.name == name, uniques.c.value.in_(wanted))
    )
    missing = wanted - set(known.scalars())
    if missing:
        await connection.execute(uniques.insert(), [{"name": name, "value": value} for value in missing])


async def read_counters(connection: AsyncConnection) -> dict[str, int]:
    rows = await connection.execute(sa.select(counters))
    return {row.name: row.value for row in rows}


async def count_uniques(connection: AsyncConnection) -> dict[str, int]:
    rows = await connection.execute(
        sa.select(uniques.c.name, sa.func.count().label("count")).group_by(uniques.c.name)
    )
    return {row[0]: row[1] for row in rows}
