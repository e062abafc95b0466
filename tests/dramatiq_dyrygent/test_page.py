"""The examples of the page on Dramatiq do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import dramatiq.broker
import pytest
from dramatiq import Worker
from redis import Redis

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "run-on-dramatiq.md"


def test_the_page_on_dramatiq(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a worker of the broker that it makes."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    module, first, composed, configured, tested = blocks
    place = f'url="{redis_url}", namespace="dyrygent_test_dramatiq_page"'
    assert 'url="redis://localhost:6379/0"' in module
    names: dict[str, Any] = {}
    exec(module.replace('url="redis://localhost:6379/0"', place), names)  # noqa: S102  # our own page
    worker = Worker(names["broker"], worker_timeout=20, worker_threads=2)
    worker.start()
    try:
        exec(first, names)  # noqa: S102
        assert names["run"].result() == "7 kg"
        exec(composed, names)  # noqa: S102
        names["run"].wait(timeout=20)
        assert names["run"].result() == ["7 kg", "7 kg"]
    finally:
        worker.stop()
        names["broker"].close()
        with Redis.from_url(redis_url) as redis:
            for key in redis.scan_iter("dyrygent_test_dramatiq_page*"):
                redis.delete(key)
    exec(configured, names)  # noqa: S102
    exec(tested, names)  # noqa: S102
    names["worker"].stop()
