"""Where workflows are kept if nobody says so: where the broker keeps its messages, if that can keep them."""

from __future__ import annotations

from dramatiq import Broker

from dramatiq_dyrygent.brokers import Kind, kind_of, redis_url_of
from dyrygent_core import UsageError
from dyrygent_core.ports import Journal
from dyrygent_runtime.journals import open_journal

__all__ = ["journal_of"]


def journal_of(broker: Broker, url: str | None, namespace: str) -> Journal:
    """Open the journal at a URL, or, without one, that of the broker.

    Raises `UsageError` for a broker that has none, and as `open_journal` does.
    """
    if url is not None:
        return open_journal(url, namespace)
    match kind_of(broker):
        case Kind.REDIS:
            return open_journal(redis_url_of(broker), namespace)
        case Kind.STUB:
            return open_journal("memory://", namespace)
        case _:
            message = (
                f"a {type(broker).__name__} cannot keep workflows; say where they are kept, in the module that "
                f"declares the actors: broker.add_middleware(Dyrygent(journal='redis://…')) or 'postgresql://…'"
            )
            raise UsageError(message)
