# pyright: basic
"""The tasks of canvases, and canvases made of them: all here that needs Celery, which is loaded when it is called.

Celery ships no types, so what passes through here has none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

from dyrygent_core import UsageError
from dyrygent_core.checks import shown
from dyrygent_runtime.extras import with_the_extra
from dyrygent_testing.canvas_plans import Atom, Chain, Chord, Errback, Group, Items, Plan, Ran, Style, shown_of

__all__ = ["built", "canvas_app"]


def canvas_app(note: Callable[[Ran], object] | None = None, **conf: Any) -> Any:
    """Return a new Celery app with the tasks of canvases, which do nothing but tell what they got.

    `note` is called with each execution: a task's name, and the arguments that it got. It runs eagerly, in memory,
    unless `conf` says otherwise.
    Raises `UsageError` if `note` is no function.
    """
    try:
        from celery import Celery  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as missing:
        raise with_the_extra(missing, "canvas_app", {"celery": "celery"}) from None
    if note is not None and not callable(cast("object", note)):
        message = f"note must be a function of an execution, such as noted.append, not {shown(note)}"
        raise UsageError(message)
    app = Celery("canvases", set_as_current=False)
    in_memory = {
        "broker_url": "memory://",
        "result_backend": "cache+memory://",
        "task_always_eager": True,
        "task_store_eager_result": True,
    }
    app.conf.update({**in_memory, **conf})

    def noted(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        if note is not None:
            note((name, [*args], kwargs))

    @app.task(name="told", shared=False)
    def told(*args: Any, **kwargs: Any) -> Any:
        noted("told", args, kwargs)
        return shown_of(args, kwargs)

    @app.task(name="fail", shared=False)
    def fail(*args: Any, **kwargs: Any) -> None:
        noted("fail", args, kwargs)
        message = "as it was drawn"
        raise ValueError(message)

    @app.task(name="mourn", shared=False)
    def mourn(task_id: str, *, at: int) -> None:
        noted("mourn", [task_id], {"at": at})

    @app.task(name="lament", shared=False)
    def lament(request: Any, exc: Any, traceback: Any, *, at: int) -> None:  # noqa: ARG001  # as Celery calls it
        noted("lament", [request.id], {"at": at})

    del told, fail, mourn, lament
    return app


def built(plan: Plan, app: Any, chain: Callable[..., Any] | None) -> Any:
    """Make a canvas as it is planned; `chain` makes its chains, Celery's own by default."""
    from celery import chain as folding  # noqa: PLC0415  # an extra

    if not callable(getattr(app, "signature", None)):
        message = f"a canvas is built for an app, such as canvas_app(), not for {shown(app)}"
        raise UsageError(message)
    with warnings.catch_warnings():  # of Celery, that one day it may call error callbacks for headers too
        warnings.simplefilter("ignore")
        return _built(plan, app, chain or folding)


def _built(plan: Plan, app: Any, chain: Callable[..., Any]) -> Any:
    made = _without_callbacks(plan, app, chain)
    links = [_built(callback, app, chain) for callback in plan.links]
    errbacks = [_errback(errback, app) for errback in plan.errbacks]
    if isinstance(plan, Chain | Group | Chord) and plan.is_set:
        return made.set(**({"link": links} if links else {}), **({"link_error": errbacks} if errbacks else {}))
    for callback in links:
        made.link(callback)
    for errback in errbacks:
        made.link_error(errback)
    return made


def _without_callbacks(plan: Plan, app: Any, chain: Callable[..., Any]) -> Any:
    match plan:
        case Atom():
            args, kwargs = plan.given(())
            return app.signature(plan.name, args, kwargs, immutable=plan.is_immutable).set(task_id=plan.id)
        case Items():
            method = getattr(app.tasks["told"], plan.method)
            return method(plan.items, plan.size) if plan.method == "chunks" else method(plan.items)
        case Chain():
            return chain(*(_built(step, app, chain) for step in plan.steps))
        case Group():
            return _group(plan.members, app, chain)
        case Chord():
            return _chord(plan, app, chain)


def _group(members: Sequence[Plan], app: Any, chain: Callable[..., Any]) -> Any:
    from celery import group  # noqa: PLC0415  # an extra

    return group([_built(member, app, chain) for member in members], app=app)


def _chord(plan: Chord, app: Any, chain: Callable[..., Any]) -> Any:
    from celery import chord  # noqa: PLC0415  # an extra

    return chord([_built(member, app, chain) for member in plan.header], _built(plan.body, app, chain), app=app)


def _errback(errback: Errback, app: Any) -> Any:
    if errback.style is Style.NOTHING:
        return app.signature("told", [errback.number], immutable=True)
    return app.signature(errback.style.value, kwargs={"at": errback.number})
