"""Windows of time are told from the index in memory, so the catalogue needs none for them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NAME = "ix_samples_gallery_id_captured_at"


def upgrade() -> None:
    op.drop_index(_NAME, "samples")


def downgrade() -> None:
    op.create_index(_NAME, "samples", ["gallery_id", "captured_at"])
