"""What runs in a worker's thread now, and what its actor says that Dramatiq has no words for.

Actors are wrapped once they are declared. Outside of a workflow the wrapper does nothing. Inside of one:

    raise SkipNode, return Take   kept here for the report; to Dramatiq the actor has returned None, or the value. The
                                  result that is stored of a `SkipNode` is the exception, and of a `Take` none, since
                                  that could not tell its branches
    any other exception           fails the node, unless somebody said how often the message is to be retried; where
                                  nobody did, Dramatiq's default would be 20 times in several weeks
    Retry, RateLimitExceeded and  are no failures of the actor but ask for another run, so that Dramatiq's default holds
    Shutdown
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from attrs import define
from dramatiq import Actor, MessageProxy, RateLimitExceeded, Retry
from dramatiq.middleware import Shutdown

from dramatiq_dyrygent.results import ttl_ms_of
from dyrygent_core import SkipNode, Take
from dyrygent_runtime.execution import Execution

__all__ = ["HERE", "Running", "hush", "let_steer"]

_ASK_AGAIN: Final = (Retry, RateLimitExceeded, Shutdown)


@define
class Running:
    """A message of ours whose actor runs in this thread, from before it starts until it is reported or given up."""

    message: MessageProxy
    execution: Execution
    max_retries: int | None
    """For an actor whose retries nobody has said; None leaves it to the broker."""
    said: SkipNode | Take | None = None
    result_ttl_ms: int | None = None
    """For how long Dramatiq would have kept the result of an actor that has said something; None for not at all."""
    has_entered: bool = False
    is_handed_on: bool = False
    """Whether the message was enqueued again, to be tried once more."""


class _Here(threading.local):  # gevent's monkey patch makes it local to the greenlet
    task: Running | None = None


HERE: Final = _Here()
"""What runs in this thread."""


def let_steer(actor: Actor[Any, Any]) -> None:
    """Wrap an actor's function; once."""
    function = actor.fn
    if not hasattr(function, _MARK):
        actor.fn = _steering(function, actor)


_MARK: Final = "_is_steering"


def _steering(function: Callable[..., Any], actor: Actor[Any, Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        here = HERE.task
        if here is None or here.has_entered:  # an actor may call another as a plain function
            return function(*args, **kwargs)
        here.has_entered = True
        try:
            value = function(*args, **kwargs)
        except SkipNode as skip:
            return _keep(here, actor, skip, None)
        except BaseException as problem:
            _limit_retries(here, actor, problem)
            raise
        return _keep(here, actor, value, value.value) if isinstance(value, Take) else value

    setattr(call, _MARK, True)
    return call


def _keep(here: Running, actor: Actor[Any, Any], said: SkipNode | Take, value: Any) -> Any:
    here.said = said
    here.result_ttl_ms = ttl_ms_of(actor, here.message)
    here.message.options["store_results"] = False
    return value


def _limit_retries(here: Running, actor: Actor[Any, Any], problem: BaseException) -> None:
    options = here.message.options
    is_said = "max_retries" in options or actor.options.keys() & {"max_retries", "retry_when"}
    if here.max_retries is not None and not is_said and not isinstance(problem, _ASK_AGAIN):
        options["max_retries"] = here.max_retries


_LOGGERS: Final = ("dramatiq.worker.WorkerThread", "dramatiq.results.middleware.Results")
_DISCARDED: Final = "returned a value that is not None"


def hush() -> None:
    """Drop the warning that a value is discarded where it is not: a node's value goes to its workflow."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _is_news not in logger.filters:
            logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return HERE.task is None or _DISCARDED not in str(record.msg)
