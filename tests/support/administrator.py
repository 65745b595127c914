"""The address of the stack's PostgreSQL for its administrator, whom the product is not."""

from sqlalchemy import URL, make_url

from deployments.stack.postgres import SUPERUSER
from models.settings import get_settings


def read_admin_url(database: str | None = None) -> URL:
    """The product's database, or another one, as the superuser."""
    address = make_url(get_settings().require_database_url()).set(username=SUPERUSER)
    return address.set(database=database or address.database)
