"""Run the workflow of `words` on an engine of your choice: `python run.py --engine celery|dramatiq|local FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from words import FUNCTIONS, count_words

from dyrygent_core import WorkflowState
from dyrygent_runtime import EngineAdapter

_LIMIT_S: Final = 120


def on_celery() -> EngineAdapter:
    """Choose Celery."""
    from celery_app import app  # noqa: PLC0415  # each engine is an extra

    from celery_dyrygent import CeleryAdapter  # noqa: PLC0415

    return CeleryAdapter(app)


def on_dramatiq() -> EngineAdapter:
    """Choose Dramatiq."""
    from dramatiq_app import broker  # noqa: PLC0415

    from dramatiq_dyrygent import DramatiqAdapter  # noqa: PLC0415

    return DramatiqAdapter(broker)


def on_local() -> EngineAdapter:
    """Choose threads of this process."""
    from local_dyrygent import LocalAdapter  # noqa: PLC0415

    return LocalAdapter(FUNCTIONS)


ENGINES: Final[dict[str, Callable[[], EngineAdapter]]] = {
    "celery": on_celery,
    "dramatiq": on_dramatiq,
    "local": on_local,
}


def main() -> int:
    """Start the workflow, wait for it, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="local")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()

    run = ENGINES[options.engine]().start(count_words(options.folder))
    state = run.wait(_LIMIT_S)

    print(state.name, {node: status.name for node, status in run.statuses.items()})
    if state is not WorkflowState.SUCCESS:
        print(*[run.explain(node) for node in run.statuses], sep="\n")
        return 1
    print(json.dumps(run.result(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
