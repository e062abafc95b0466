"""What a worker says at its start about a broker that may lose messages without a word."""

from __future__ import annotations

import logging
from typing import Final

from celery import Celery

__all__ = ["warn_about"]

_LOG = logging.getLogger("dyrygent")
_AMQP: Final = "amqp"


def warn_about(app: Celery) -> None:
    """Warn about RabbitMQ without publisher confirms (kombu/transport/pyamqp.py, `basic_publish`)."""
    connection = app.connection_for_write()  # which connects to nothing yet
    if connection.transport_cls is None or connection.get_transport_cls().driver_type != _AMQP:
        return
    if not (connection.transport_options or {}).get("confirm_publish"):
        _LOG.warning(
            "RabbitMQ does not confirm what is published, so a message may be lost without a word, and its node waits "
            "for resend_after: set app.conf.broker_transport_options = {'confirm_publish': True}"
        )
