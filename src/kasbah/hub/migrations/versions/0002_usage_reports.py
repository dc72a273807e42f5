"""Which usage reports were counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "usage_reports",
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_usage_reports")),
    )
    op.create_index(op.f("ix_usage_reports_counted_at"), "usage_reports", ["counted_at"], unique=False)
