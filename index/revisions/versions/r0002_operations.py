"""What operating a gallery needs: the audit log, the backups made, and finding what is past its retention."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _audit()
    _backups()
    op.create_index("ix_samples_gallery_id_enrolled_at", "samples", ["gallery_id", "enrolled_at"])


def downgrade() -> None:
    raise NotImplementedError("an audit log is not thrown away")


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", Key, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64)),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("gallery_id", sa.BigInteger),
        sa.Column("gallery", sa.String(64)),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("pictures", sa.BigInteger),
        sa.Column("vectors", sa.BigInteger, nullable=False),
        sa.Column("verified", sa.Boolean),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        sqlite_autoincrement=True,
    )


def _backups() -> None:
    op.create_table(
        "backups",
        sa.Column("name", sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql"), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger),
        sa.Column("last_sample", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_backups"),
    )
