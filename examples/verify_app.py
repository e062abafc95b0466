"""The Celery app: the same functions, registered as tasks. The worker imports this, and so does who starts workflows.

Where its Redis is, and under which name it keeps its things there, stands in the environment.
"""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery
from verify_tasks import FUNCTIONS

from celery_dyrygent import register_workflow_processor

__all__ = ["app"]

_URL: Final = os.environ.get("VERIFY_ENVIRONMENT_REDIS", "redis://127.0.0.1:6379/0")
_NAMESPACE: Final = os.environ.get("VERIFY_ENVIRONMENT_NAMESPACE", "verify-environment")
_PREFIX: Final = {"global_keyprefix": f"{_NAMESPACE}:"}

app: Any = Celery(_NAMESPACE, broker=_URL, backend=_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options=_PREFIX,  # apart from whatever else uses this Redis
    result_backend_transport_options=_PREFIX,
    result_expires=3_600,
)
register_workflow_processor(app)
for _name, _function in FUNCTIONS.items():
    app.task(_function, name=_name)
