"""Alembic's entry script, which runs the migrations on the connection of models/migrate.py."""

from alembic import context
from sqlmodel import SQLModel

import models.tables  # noqa: F401  (fills the metadata)

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata
)
with context.begin_transaction():
    context.run_migrations()
