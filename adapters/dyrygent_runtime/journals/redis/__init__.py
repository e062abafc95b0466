"""The Redis journal; each module is one subject, and `journal` puts them together."""

from dyrygent_runtime.journals.redis.journal import RedisJournal

__all__ = ["RedisJournal"]
