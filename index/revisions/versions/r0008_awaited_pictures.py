"""Pictures that enrolments under way are about to store, so that those of one that was killed are found."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "awaited_pictures",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_awaited_pictures"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("awaited_pictures")
