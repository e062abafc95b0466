"""Dyrygent on Dramatiq: any graph of actors, started from a pipeline or group, or built by hand."""

try:
    from dramatiq_dyrygent.adapter import DramatiqAdapter
    from dramatiq_dyrygent.middleware import Dyrygent
    from dramatiq_dyrygent.workflow import Imported, Workflow
except ModuleNotFoundError as missing:
    from dyrygent_runtime.extras import with_the_extra

    raise with_the_extra(missing, __name__, {"dramatiq": "dramatiq"}) from None

__all__ = ["DramatiqAdapter", "Dyrygent", "Imported", "Workflow"]
