"""CI jobs in SQL. A job is found by the SHA-256 of its token; the token itself is never stored."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.jobs.environment import Environment
from kasbah.hub.jobs.model import Job, NewJob

jobs = sa.Table(
    "ci_jobs",
    metadata,
    primary_key(),
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("user_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("ref", sa.String(255), nullable=False),
    sa.Column("protected", sa.Boolean(), nullable=False),
    # None: the job's own number.
    sa.Column("pipeline_id", Id),
    sa.Column("environment_name", sa.String(255)),
    sa.Column("environment_slug", sa.String(24)),
    sa.Column("environment_tier", sa.String(16)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False, index=True),
    sa.Column("finished_at", UtcDateTime()),
    sqlite_autoincrement=True,
)

_COLUMNS = [column for column in jobs.c if column.name != "token_hash"]


def _job(row: RowMapping) -> Job:
    environment = None
    if row["environment_name"] is not None:
        environment = Environment(
            name=row["environment_name"], slug=row["environment_slug"], tier=row["environment_tier"]
        )
    return Job(
        id=row["id"],
        project_id=row["project_id"],
        user_id=row["user_id"],
        ref=row["ref"],
        protected=row["protected"],
        pipeline_id=row["pipeline_id"] or row["id"],
        environment=environment,
        status=row["status"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        finished_at=row["finished_at"],
    )


async def insert(
    connection: AsyncConnection,
    new: NewJob,
    token_hash: str,
    *,
    project_id: int,
    user_id: int,
    protected: bool,
    now: datetime,
) -> Job:
    environment = Environment.of(new.environment, new.tier) if new.environment is not None else None
    statement = jobs.insert().values(
        project_id=project_id,
        user_id=user_id,
        token_hash=token_hash,
        ref=new.ref,
        protected=protected,
        pipeline_id=new.pipeline_id,
        environment_name=environment.name if environment else None,
        environment_slug=environment.slug if environment else None,
        environment_tier=environment.tier if environment else None,
        status="running",
        created_at=now,
        expires_at=now + new.lifetime,
    )
    return _job((await connection.execute(statement.returning(*_COLUMNS))).mappings().one())


async def find_by_token(connection: AsyncConnection, token_hash: str) -> Job | None:
    """The job of this token, running or not."""
    rows = await connection.execute(sa.select(*_COLUMNS).where(jobs.c.token_hash == token_hash))
    row = rows.mappings().one_or_none()
    return _job(row) if row else None


async def find(connection: AsyncConnection, project_id: int, job_id: int) -> Job | None:
    """The job, if it is one of this project."""
    rows = await connection.execute(
        sa.select(*_COLUMNS).where(jobs.c.id == job_id, jobs.c.project_id == project_id)
    )
    row = rows.mappings().one_or_none()
    return _job(row) if row else None


async def list_of_project(
    connection: AsyncConnection, project_id: int, *, limit: int, offset: int
) -> tuple[list[Job], int]:
    """A page of a project's jobs, the newest first, and their number."""
    chosen = sa.select(*_COLUMNS).where(jobs.c.project_id == project_id)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(chosen.order_by(jobs.c.id.desc()).limit(limit).offset(offset))
    return [_job(row) for row in rows.mappings()], total or 0


async def finish(connection: AsyncConnection, job_id: int, now: datetime) -> None:
    """The job runs no longer; one that ended before keeps its time."""
    await connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.status == "running")
        .values(status="finished", finished_at=now)
    )


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Forget the jobs whose tokens were dead by that moment at the latest."""
    await connection.execute(jobs.delete().where(jobs.c.expires_at < before))
