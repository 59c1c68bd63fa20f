"""What people answered about labels that looked wrong."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "right_labels",
        sa.Column("sample", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("identity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sample", name="pk_right_labels"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "people_apart",
        sa.Column("first", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("second", sa.BigInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("first", "second", name="pk_people_apart"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("people_apart")
    op.drop_table("right_labels")
