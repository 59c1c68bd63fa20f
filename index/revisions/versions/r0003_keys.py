"""Keys: who may call, and in the audit log which key was made or revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(32), nullable=False),
        sa.Column("gallery", sa.String(64)),
        sa.Column("rate", sa.Float),
        sa.Column("label", sa.String(256)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    op.add_column("audit_log", sa.Column("key_id", sa.String(12)))


def downgrade() -> None:
    raise NotImplementedError("without its keys a service would be open to everybody")
