"""Usage counters in SQL: sums by name, the distinct ids seen by name, and which reports were counted already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import UtcDateTime, metadata

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

reports = sa.Table(
    "usage_reports",
    metadata,
    sa.Column("report_id", sa.String(64), primary_key=True),
    sa.Column("counted_at", UtcDateTime(), nullable=False, index=True),
)


async def first_time(connection: AsyncConnection, report_id: str, now: datetime) -> bool:
    """Remember the report; whether it was unknown. Two transactions at once with one id: the second is refused."""
    known = await connection.scalar(sa.select(reports.c.report_id).where(reports.c.report_id == report_id))
    if known is None:
        await connection.execute(reports.insert().values(report_id=report_id, counted_at=now))
    return known is None


async def forget_reports(connection: AsyncConnection, before: datetime) -> None:
    """Forget those counted before that moment: nobody sends them again."""
    await connection.execute(reports.delete().where(reports.c.counted_at < before))


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
