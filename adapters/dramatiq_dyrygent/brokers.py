"""Which broker it is: by name, since the client libraries of those that are not used need not be installed."""

from __future__ import annotations

import logging
import ssl
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode

from dramatiq import Broker

from dyrygent_core import UsageError

__all__ = ["Kind", "kind_of", "queue_of", "redis_url_of", "warn_about"]

_LOG = logging.getLogger("dyrygent")


class Kind(Enum):
    """The brokers that Dramatiq brings, by their modules."""

    REDIS = "dramatiq.brokers.redis"
    RABBITMQ = "dramatiq.brokers.rabbitmq"
    STUB = "dramatiq.brokers.stub"
    OTHER = ""


def kind_of(broker: Broker) -> Kind:
    """Return which of them a broker is, or inherits from."""
    modules = {base.__module__ for base in type(broker).__mro__}
    return next((kind for kind in Kind if kind.value in modules), Kind.OTHER)


def queue_of(broker: Broker, target: str, named: str | None) -> str | None:
    """Return the queue that a call goes to: the one that it names, else its actor's; None if nobody here knows."""
    actor = broker.actors.get(target)
    return named or (actor.queue_name if actor is not None else None)


_SCHEMES: Final = {"Connection": "redis", "SSLConnection": "rediss", "UnixDomainSocketConnection": "unix"}


def redis_url_of(broker: Any) -> str:  # a RedisBroker, which has no types
    """Write down where a Redis broker's client is connected to.

    Raises `UsageError` for a client that no URL can describe, such as one of Sentinel.
    """
    pool = broker.client.connection_pool
    scheme = _SCHEMES.get(pool.connection_class.__name__)
    options = {key: value for key, value in pool.connection_kwargs.items() if value is not None}
    is_plain = pool.connection_class.__module__.startswith("redis.") and "credential_provider" not in options
    if scheme is None or not is_plain:
        message = (
            f"this broker reaches Redis by {pool.connection_class.__name__}, which no URL describes; say where "
            f"workflows are kept: Dyrygent(journal='redis://…')"
        )
        raise UsageError(message)
    user, password = (quote(str(options.get(key, "")), safe="") for key in ("username", "password"))
    credentials = f"{user}:{password}@" if user or password else ""
    query = {key: _as_text(options[key]) for key in _TLS if key in options}
    if scheme == "unix":
        query["db"] = str(options.get("db", 0))
        return f"unix://{credentials}{options['path']}?{urlencode(query)}"
    host = options.get("host", "localhost")
    host = f"[{host}]" if ":" in host else host
    tail = f"?{urlencode(query)}" if query else ""
    return f"{scheme}://{credentials}{host}:{options.get('port', 6379)}/{options.get('db', 0)}{tail}"


_TLS: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")


def _as_text(value: object) -> str:
    return value.name.removeprefix("CERT_").lower() if isinstance(value, ssl.VerifyMode) else str(value)


def warn_about(broker: Any) -> None:
    """Warn about RabbitMQ without publisher confirms (dramatiq/brokers/rabbitmq.py, `enqueue`)."""
    if kind_of(broker) is Kind.RABBITMQ and not broker.confirm_delivery:
        _LOG.warning(
            "RabbitMQ does not confirm what is enqueued, so a message may be lost without a word, and its node waits "
            "for resend_after: make the broker with RabbitmqBroker(confirm_delivery=True)"
        )
