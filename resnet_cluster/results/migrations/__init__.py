"""Alembic's migrations of the store; each store is brought to the newest when it is opened."""
