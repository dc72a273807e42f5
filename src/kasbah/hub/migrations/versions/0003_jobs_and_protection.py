"""CI jobs, browser sessions, protected branches, and where in its file an agent's authorisation stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_MAINTAINER = 40


def upgrade() -> None:
    op.add_column("agent_authorizations", sa.Column("entry", sa.String(length=64), nullable=True))
    op.add_column("agent_authorizations", sa.Column("line", sa.Integer(), nullable=True))
    op.add_column("agent_authorizations", sa.Column("commit_id", sa.String(length=64), nullable=True))
    _create_protected_branches()
    _protect_default_branches()
    _create_jobs()
    _create_sessions()


def _create_protected_branches() -> None:
    op.create_table(
        "protected_branches",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("push_access_level", sa.Integer(), nullable=False),
        sa.Column("merge_access_level", sa.Integer(), nullable=False),
        sa.Column("allow_force_push", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_protected_branches_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protected_branches")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_protected_branches_project_id_name")),
        sqlite_autoincrement=True,
    )


def _protect_default_branches() -> None:
    """New projects get this record when they are made."""
    columns = (
        "project_id",
        "name",
        "push_access_level",
        "merge_access_level",
        "allow_force_push",
        "created_at",
    )
    projects = sa.table("projects", sa.column("id"), sa.column("default_branch"), sa.column("created_at"))
    protected = sa.table("protected_branches", *(sa.column(name) for name in columns))
    level = sa.literal_column(str(_MAINTAINER))
    rows = sa.select(
        projects.c.id, projects.c.default_branch, level, level, sa.false(), projects.c.created_at
    )
    op.execute(protected.insert().from_select(columns, rows))


def _create_jobs() -> None:
    op.create_table(
        "ci_jobs",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.String(length=255), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("pipeline_id", _ID, nullable=True),
        sa.Column("environment_name", sa.String(length=255), nullable=True),
        sa.Column("environment_slug", sa.String(length=24), nullable=True),
        sa.Column("environment_tier", sa.String(length=16), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_ci_jobs_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_ci_jobs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ci_jobs")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_ci_jobs_token_hash")),
        sqlite_autoincrement=True,
    )
    for column in ("project_id", "user_id", "expires_at"):
        op.create_index(op.f(f"ix_ci_jobs_{column}"), "ci_jobs", [column], unique=False)


def _create_sessions() -> None:
    op.create_table(
        "kas_sessions",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("token_id", _ID, nullable=True),
        sa.Column("cookie_hash", sa.String(length=64), nullable=False),
        sa.Column("csrf_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["personal_access_tokens.id"],
            name=op.f("fk_kas_sessions_token_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_kas_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kas_sessions")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_kas_sessions_cookie_hash")),
        sqlite_autoincrement=True,
    )
    for column in ("user_id", "token_id", "expires_at"):
        op.create_index(op.f(f"ix_kas_sessions_{column}"), "kas_sessions", [column], unique=False)
