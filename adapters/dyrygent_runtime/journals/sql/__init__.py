"""The SQL journal; each module is one subject, and `journal` puts them together."""

from dyrygent_runtime.journals.sql.journal import SqlJournal, Tables

__all__ = ["SqlJournal", "Tables"]
