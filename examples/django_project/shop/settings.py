"""Settings of a small shop: what Celery and workflows need stands beside Django's own."""

import os
from pathlib import Path

SECRET_KEY = "an example's, so it is no secret"  # noqa: S105  # as it says
USE_TZ = True
INSTALLED_APPS = ["orders"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", str(Path(__file__).parents[1] / "shop.db")),
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS = os.environ.get("SHOP_REDIS", "redis://localhost:6379/0")

CELERY_BROKER_URL = REDIS
CELERY_RESULT_BACKEND = REDIS
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

CELERY_DYRYGENT_JOURNAL = REDIS  # as without it, here: the result backend's store
CELERY_DYRYGENT_NAMESPACE = "shop"
CELERY_DYRYGENT_SETTINGS = {"sweep_interval_ms": 2_000}
