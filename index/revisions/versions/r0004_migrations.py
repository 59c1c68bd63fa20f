"""Migrations: the moves of all galleries from one model version to another."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "migrations",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("target_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("leave_out", sa.Boolean, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("left_out", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("rate", sa.Float),
        sa.Column("disk_bytes", sa.BigInteger, nullable=False),
        sa.Column("validation", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("owner", sa.String(64)),
        sa.Column("owned_until", sa.BigInteger),
        sa.Column("freed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_migrations"),
        sa.ForeignKeyConstraint(["source_id"], ["versions.id"], name="fk_migrations_source_id"),
        sa.ForeignKeyConstraint(["target_id"], ["versions.id"], name="fk_migrations_target_id"),
    )


def downgrade() -> None:
    op.drop_table("migrations")
