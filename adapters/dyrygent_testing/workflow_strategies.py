"""Hypothesis strategies: workflows as a user builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from dyrygent_core import Call, Edge, Mode, NodeHandle, ResultRef, Trigger, UsageError, Workflow, call
from dyrygent_testing.strategies import OR_RULES, payloads, policies
from dyrygent_testing.subjects import check_size

__all__ = ["workflows"]


def workflows(*, min_nodes: int = 0, max_nodes: int = 6) -> st.SearchStrategy[Workflow]:
    """Draw a workflow as a user builds it: generated and given ids, references anywhere, edges of every kind.

    `min_nodes`, `max_nodes`: of ordinary nodes, some of which are mapped; at most two more are for the whole workflow.
    Workflows shrink to few nodes, then to calls without arguments and to no edges.

    Raises `UsageError` for what no workflow can be.
    """
    check_size("min_nodes", min_nodes)
    check_size("max_nodes", max_nodes)
    if min_nodes > max_nodes:
        message = f"no workflow has at least {min_nodes} and at most {max_nodes} nodes; swap them, or raise max_nodes"
        raise UsageError(message)
    return _workflows(min_nodes, max_nodes)


@st.composite
def _workflows(draw: st.DrawFn, min_nodes: int, max_nodes: int) -> Workflow:
    workflow = Workflow(
        draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)),
        deadline=draw(st.none() | st.integers(1, 10**9)),
        max_in_flight=draw(st.none() | st.integers(1, 3)),
        mode=draw(st.sampled_from(Mode)),
    )
    handles: list[NodeHandle] = []
    without_result: set[str] = set()  # who may fail and let others run all the same
    mapped: set[str] = set()
    for at in range(draw(st.integers(min_nodes, max_nodes))):
        trigger = draw(st.sampled_from(Trigger)) if handles else Trigger.ALL_SUCCESS
        mappable = [handle for handle in handles if handle.id not in without_result and trigger not in OR_RULES]
        source = draw(st.sampled_from([None, *mappable]))
        others = [handle for handle in handles if handle is not source]
        after = draw(_some(others))
        if trigger in OR_RULES:
            after = after or handles[:1]
        referred: list[ResultRef] = []
        if trigger not in (Trigger.ONE_SUCCESS, Trigger.ONE_FAILED):  # these run too early to read results
            for handle in draw(_some(others)):
                is_sure = handle not in after and handle.id not in without_result and trigger not in OR_RULES
                reference = draw(_references(handle))
                referred.append(reference if is_sure and draw(st.booleans()) else reference.default(draw(payloads())))
        items = [[], [workflow.item], [{"in": workflow.item["id"]}]]
        item: list[Any] = [] if source is None else draw(st.sampled_from(items))
        policy = draw(policies())
        handles.append(
            workflow.add(
                draw(_calls(referred, item)),
                id=draw(st.none() | st.just(f"given {at}")),
                after=after if trigger in OR_RULES else [draw(_edges(handle)) for handle in after],
                trigger=trigger,
                each=None if source is None else draw(_lists(source, mapped)),
                **_as_the_builder_says(policy),
            )
        )
        if source is not None:
            mapped.add(handles[-1].id)
        if policy.get("allow_failure"):
            without_result.add(handles[-1].id)
    for add in draw(st.lists(st.sampled_from([workflow.finally_, workflow.on_error, workflow.on_success]), max_size=2)):
        referred = [draw(_references(handle)).default(None) for handle in draw(_some(handles))]
        summary = draw(st.sampled_from([[], [workflow.summary["state"]]]))
        add(draw(_calls(referred, summary)), **_as_the_builder_says(draw(policies())))
    if draw(st.booleans()) and handles:
        workflow.returns([handle.result for handle in handles])
    return workflow


def _as_the_builder_says(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Name a policy for `Node` as the builder names it."""
    return {"timeout" if name == "timeout_ms" else name: value for name, value in policy.items()}


def _lists(source: NodeHandle, mapped: set[str]) -> st.SearchStrategy[NodeHandle | ResultRef]:
    """Draw where to find the list to map over: of a mapped node, it is the whole result."""
    result = source.result
    whole: list[NodeHandle | ResultRef] = [source, result]
    return st.sampled_from(whole if source.id in mapped else [*whole, result["items"], result["pages"][0]])


def _some(handles: Sequence[NodeHandle]) -> st.SearchStrategy[list[NodeHandle]]:
    return st.lists(st.sampled_from(handles), unique=True, max_size=3) if handles else st.just(list[NodeHandle]())


def _edges(handle: NodeHandle) -> st.SearchStrategy[NodeHandle | Edge]:
    return st.sampled_from([handle, handle.done, handle.failed, handle.skipped, handle.not_failed, handle.if_succeeded])


@st.composite
def _references(draw: st.DrawFn, handle: NodeHandle) -> ResultRef:
    reference = handle.result
    for key in draw(st.lists(st.text(max_size=3) | st.integers(-2, 2), max_size=2)):
        reference = reference[key]
    return reference


@st.composite
def _calls(draw: st.DrawFn, referred: Sequence[ResultRef], others: Sequence[Any]) -> Call:
    leaves: list[Any] = [
        draw(st.sampled_from([reference, [1, reference], {"in": reference}])) for reference in referred
    ]
    options = draw(st.dictionaries(st.sampled_from(["queue", "priority"]), st.text(max_size=3), max_size=1))
    target = draw(st.sampled_from(["users.create", "mail.send"]))
    return call(target, *leaves, *others, draw(payloads()), key=draw(payloads())).with_options(**options)
