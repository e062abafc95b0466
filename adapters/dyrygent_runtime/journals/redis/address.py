"""From a Redis URL to a client, with its time-outs and what it may repeat said explicitly.

A cluster is spelled as the library `limits` and Prefect do, beside Celery's `redis+socket`: `redis+cluster://host:port`,
or several hosts with commas between them, one of which must answer; `rediss+cluster://…` over TLS.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import redis
from attrs import field, frozen
from redis import connection
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from dyrygent_core import UsageError

__all__ = ["Address", "Client", "connected", "read_address"]

Client: TypeAlias = "redis.Redis | RedisCluster"

_CLUSTERS: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_TIMEOUT_S: Final = 10.0
"""For a reply: longer than any script of ours takes, shorter than a lease."""
_CONNECT_TIMEOUT_S: Final = 5.0
_HEALTH_CHECK_S: Final = 30
_FIRST_SAFE: Final = 6
"""The first release of redis-py whose cluster client can be told to send a command once; earlier ones repeat it."""


@frozen
class Address:
    """Where Redis is: a URL as the client library reads it, and for a cluster the other hosts to ask."""

    url: str = field(repr=False)
    is_cluster: bool = False
    others: tuple[tuple[str, int], ...] = ()


def read_address(url: str) -> Address:
    """Read a URL; raises `UsageError`, which never shows it, since it may hold a password."""
    scheme, separator, rest = url.partition("://")
    if scheme not in _CLUSTERS:
        _options(url)
        return Address(url)
    authority = rest[: min((place for place in map(rest.find, "/?") if place >= 0), default=len(rest))]
    credentials, at, hosts = authority.rpartition("@")
    first, *others = hosts.split(",")
    plain = f"{_CLUSTERS[scheme]}{separator}{credentials}{at}{first}{rest[len(authority) :]}"
    if _options(plain).get("db"):
        raise UsageError("a Redis cluster has no numbered databases: leave the number out, and choose a namespace")
    if int(redis.__version__.partition(".")[0]) < _FIRST_SAFE:
        message = f"a Redis cluster needs redis-py {_FIRST_SAFE} or newer, this is {redis.__version__}"
        raise UsageError(message)
    return Address(plain, is_cluster=True, others=tuple(map(_host_and_port, others)))


def connected(address: Address) -> Client:
    """Make a client. A plain one connects when it is first used, that of a cluster at once.

    What it sends it sends once. Only what a node of a cluster refuses, since it has not got that key, goes to another.
    """
    options: dict[str, Any] = {
        "socket_timeout": _TIMEOUT_S,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # one shape of answers from every release of server and client
    }
    if address.is_cluster:
        others = [cast("Any", ClusterNode)(host, port) for host, port in address.others]
        return cast("RedisCluster", cast("Any", RedisCluster)(url=address.url, startup_nodes=others, **options))
    return cast("redis.Redis", cast("Any", redis.Redis).from_url(address.url, **options))


def _options(url: str) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", cast("Any", connection).parse_url(url))
    except ValueError:  # its text may hold a piece of the password
        raise UsageError("this is not a Redis URL; use redis://:password@host:6379/0") from None


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        return parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        raise UsageError("this is not a Redis URL; use redis+cluster://:password@host:6379,host:6379") from None
