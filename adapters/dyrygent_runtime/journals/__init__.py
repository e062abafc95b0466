"""The journals that come with the library, and `open_journal`, which picks one by its URL."""

from dyrygent_runtime.journals.memory import MemoryJournal
from dyrygent_runtime.journals.opening import open_journal

__all__ = ["MemoryJournal", "open_journal"]
