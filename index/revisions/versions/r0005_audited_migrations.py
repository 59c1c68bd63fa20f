"""In the audit log, which migration was begun, switched or ended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("migration_id", sa.String(26)))


def downgrade() -> None:
    raise NotImplementedError("an audit log is not thrown away")
