"""The rules of the adapter suite about what is sent: dispatch (A1), values (A7), check (A9)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import pytest
from attrs import evolve

from dyrygent_core import Call, Failed, Status, Succeeded, UsageError, Workflow, WorkflowState
from dyrygent_core.codec import MAX_ARGUMENT_BYTES
from dyrygent_core.errors import AdapterUnavailableError, EncodingError, JournalError
from dyrygent_testing.adapter_basis import AdapterBasis, Case, Prepared

__all__ = ["VALUES", "DispatchRules", "is_same"]

VALUES: Final[dict[str, Any]] = {
    "nothing": None,
    "truth": [True, False, 1, 0, 1.0, 0.0],
    "integers": [0, -1, 2**31, -(2**63), 2**64, 10**60],
    "floats": [0.1, -0.0, 1e300, 5e-324, 1.7976931348623157e308],
    "empty": [[], {}, "", [[]], {"": {}}],
    "texts": [
        "caf\u00e9",
        "cafe\u0301",
        "\U0001f3bb\u202e",
        "\x00\x01\x7f",
        "line\r\n\ttab",
        '"quoted" \\back',
        "{x} %s",
    ],
    "keys": {
        "": 0,
        "caf\u00e9": 1,
        "a.b": 2,
        "a b": 3,
        "\U0001f3bb": 4,
        "args": [],
        "kwargs": {},
        "self": 5,
        "$ref": 6,
    },
    "nested": [[[[[[[[[[{"a": [{"b": [None, {"c": []}]}]}]]]]]]]]]],
    "long": list(range(1_000)),
}
"""What every engine is to carry as it is."""


class DispatchRules(AdapterBasis):
    """Clauses A1, A7 and A9."""

    # A1 dispatch

    def test_a1_attempts_wait_under_their_ids(self, case: Case) -> None:
        """The engine knows each attempt by exactly the id that it carries, and knows nothing else of ours."""
        case.engine.stop_worker()
        assert list(case.engine.queued_ids()) == []
        prepared = case.prepare_each(*(case.call("give", number) for number in range(3)))
        case.dispatch(prepared)

        ids = sorted(item.attempt_id for item in prepared.batch)
        case.until(lambda: sorted(case.engine.queued_ids()) == ids, f"exactly these in the queue: {ids}")
        case.engine.start_worker()
        assert all(isinstance(it, Succeeded) for it in case.reported(prepared).values())
        case.engine.stop_worker()
        assert list(case.engine.queued_ids()) == []

    def test_a1_the_longest_id(self, case: Case) -> None:
        """An id may have 155 characters."""
        prepared = case.prepare_each(case.call("give", 1))
        long = evolve(prepared.one, attempt_id="i" * 155)
        case.dispatch(evolve(prepared, batch=(long,)))

        assert isinstance(case.reported(prepared)[long.attempt], Succeeded)

    @pytest.mark.parametrize("kind", VALUES)
    def test_a1_every_value_arrives_as_it_was(self, case: Case, kind: str) -> None:
        """A function is called with exactly the values that the call has, by place and by name."""
        value = VALUES[kind]
        prepared = case.prepare_each(case.call("echo", value, [value], key=value))
        case.dispatch(prepared)

        outcome = case.reported(prepared)[prepared.one.attempt]
        assert isinstance(outcome, Succeeded), outcome
        expected = {"args": [value, [value]], "kwargs": {"key": value}}
        assert is_same(case.value(prepared, prepared.one.attempt), expected)

    def test_a1_a_megabyte_arrives(self, case: Case) -> None:
        """Arguments may take as much as a workflow may have."""
        text = "x" * (MAX_ARGUMENT_BYTES - 1_000)
        prepared = case.prepare_each(case.call("give", text))
        case.dispatch(prepared)
        case.reported(prepared)

        assert case.value(prepared, prepared.one.attempt) == text

    def test_a1_what_can_never_run_is_refused_and_the_rest_is_sent(self, case: Case) -> None:
        """A name that the engine does not know raises nothing: it is returned, or it fails in the worker."""
        prepared = case.prepare_each(case.call("give", 1), Call(_UNKNOWN), case.call("give", 3))
        refused = _refused(case, prepared)

        assert refused <= {"1"}
        others = [item for item in prepared.batch if item.attempt.node not in refused]
        found = {it.node: outcome for it, outcome in case.reported(evolve(prepared, batch=tuple(others))).items()}
        assert {node for node, it in found.items() if isinstance(it, Succeeded)} == {"0", "2"}
        assert all(
            isinstance(it, Failed) and _UNKNOWN in repr(it.failure) for it in found.values() if it.attempt.node == "1"
        )

    def test_a1_an_unknown_name_fails_its_node(self, case: Case) -> None:
        """It is refused at the start, or fails its node by the name; and is not tried again."""
        workflow = Workflow()
        workflow.add(Call(_UNKNOWN), id="odd", max_attempts=3)
        if not _accepts(case, _UNKNOWN):
            with pytest.raises(UsageError, match=_UNKNOWN):
                case.start(workflow)
            return
        run = case.start(workflow)
        assert case.ended(run) is WorkflowState.FAILURE
        assert run.status("odd") is Status.FAILED
        assert run.state.attempt("odd").number == 1
        assert _UNKNOWN in run.explain("odd")

    def test_a1_arguments_that_cannot_be_written_are_refused(self, case: Case) -> None:
        """They raise nothing, and hold nothing up; an engine that writes nothing down may run them."""
        prepared = case.prepare_each(case.call("give", 1), case.call("give", None), case.call("give", 3))
        odd = evolve(prepared.batch[1], call=_with_argument(prepared.batch[1].call, object()))
        refused = _refused(case, evolve(prepared, batch=(prepared.batch[0], odd, prepared.batch[2])))

        assert refused <= {"1"}
        sent = tuple(item for item in prepared.batch if item.attempt.node not in refused)
        found = {it.node: outcome for it, outcome in case.reported(evolve(prepared, batch=sent)).items()}
        assert isinstance(found["0"], Succeeded)
        assert isinstance(found["2"], Succeeded)

    def test_a1_nothing_is_sent_for_nothing(self, case: Case) -> None:
        """An empty batch is no error."""
        assert case.adapter.dispatch(()) == ()

    def test_a1_a_large_batch_is_sent_whole(self, case: Case) -> None:
        """Of 250 attempts none is left out, and each runs its own call."""
        prepared = case.prepare_each(*(case.call("give", number) for number in range(250)))
        case.dispatch(prepared)
        case.reported(prepared)

        results = case.journal.results(prepared.key, [item.attempt for item in prepared.batch])
        found = {it.node: case.adapter.values.decode(value) for it, value in results.items()}
        assert found == {str(number): number for number in range(250)}

    def test_a1_threads_send_at_once(self, case: Case) -> None:
        """Threads of one process share the adapter."""
        prepared = [case.prepare_each(*(case.call("give", it) for it in range(10))) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(case.dispatch, prepared))

        for its in prepared:
            assert all(isinstance(it, Succeeded) for it in case.reported(its).values())

    def test_a1_an_outage_loses_nothing(self, case: Case) -> None:
        """What the transport does not take raises `AdapterUnavailableError`, and is sent as well as ever later."""
        prepared = case.prepare_each(*(case.call("give", number) for number in range(3)))
        with case.engine.outage():
            with pytest.raises(AdapterUnavailableError):
                case.adapter.dispatch(prepared.batch)
            assert case.outcomes(prepared.key) == {}
        case.dispatch(prepared)

        assert all(isinstance(it, Succeeded) for it in case.reported(prepared).values())

    def test_a1_a_workflow_starts_in_an_outage(self, case: Case) -> None:
        """Its start fails nothing: what could not be sent is sent by the sweep."""
        workflow = Workflow()
        first = workflow.add(case.call("give", 1))
        workflow.add(case.call("give", first.result))
        with case.engine.outage():
            run = case.start(workflow)
            assert run.workflow_state is WorkflowState.RUNNING

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == 1

    # A7 values

    @pytest.mark.parametrize("kind", VALUES)
    def test_a7_what_is_written_is_read(self, case: Case, kind: str) -> None:
        """A value that was written down is read back equal, and of the same types."""
        values = case.adapter.values

        assert is_same(values.decode(values.encode(VALUES[kind])), VALUES[kind])

    def test_a7_what_cannot_be_written_is_refused(self, case: Case) -> None:
        """It raises `EncodingError`, at whatever depth it is."""
        for value in (object(), [object()], {"a": {"b": [object()]}}):
            with pytest.raises(EncodingError):
                case.adapter.values.encode(value)

    def test_a7_what_was_not_written_is_not_read(self, case: Case) -> None:
        """Bytes of others are refused by an error of ours."""
        for data in (b"", b"\xff\xfe\x00", b"no value of ours"):
            with pytest.raises((JournalError, UsageError)):
                case.adapter.values.decode(data)

    # A9 check

    def test_a9_a_call_that_can_run_is_accepted(self, case: Case) -> None:
        """Checking sends nothing, and may be repeated."""
        for _ in range(2):
            case.adapter.check(case.here("note", "checked"))

        case.is_serving()
        assert case.count("checked") == 0

    def test_a9_checking_asks_nobody(self, case: Case) -> None:
        """A call is checked without the engine: a start may come in an outage."""
        with case.engine.outage():
            case.adapter.check(case.call("give", 1))

    def test_a9_a_refused_start_starts_nothing(self, case: Case) -> None:
        """What `check` refuses raises `UsageError`, and none of its workflow has run."""
        if _accepts(case, _UNKNOWN):
            pytest.skip("the adapter checks no names")
        workflow = Workflow()
        workflow.add(case.here("note", "fine"))
        workflow.add(Call(_UNKNOWN))
        with pytest.raises(UsageError, match=_UNKNOWN):
            case.start(workflow)
        case.is_serving()
        assert case.count("fine") == 0


_UNKNOWN: Final = "no_function_of_this_name"


def _accepts(case: Case, name: str) -> bool:
    try:
        case.adapter.check(Call(name))
    except UsageError:
        return False
    return True


def _refused(case: Case, prepared: Prepared) -> set[str]:
    """Send a batch, and return the nodes that were refused; each is told why."""
    refusals = case.adapter.dispatch(prepared.batch)
    assert all(it.failure.type for it in refusals)
    return {it.attempt.node for it in refusals}


def _with_argument(call: Call, value: object) -> Call:
    return evolve(call, inputs=evolve(call.inputs, value={"args": [value], "kwargs": {}}))


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal, and of the same types: 1 is neither 1.0 nor True, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        mine = cast("dict[str, Any]", one)
        return mine.keys() == other.keys() and all(is_same(mine[key], other[key]) for key in mine)
    if isinstance(one, list):
        items = cast("list[object]", one)
        return len(items) == len(other) and all(map(is_same, items, other))
    return repr(one) == repr(other)
