"""Mapped nodes, run for real: one instance for each element."""

from __future__ import annotations

from collections import Counter

import pytest

from dyrygent_core import SkipNode, Status, Workflow, WorkflowFailedError, WorkflowState, call
from dyrygent_core.errors import ResultNotKeptError
from tests.local_dyrygent.conftest import Locals, ended


def double(x: int) -> int:
    return 2 * x


def even(x: int) -> int:
    if x % 2:
        message = f"{x} is odd"
        raise SkipNode(message)
    return x


def const(value: object) -> object:
    return value


def mapped(over: object, *targets: str) -> Workflow:
    """Build a source of `over`, and maps over one another."""
    workflow = Workflow()
    above = workflow.add(call("const", over), id="source")
    for target in targets:
        above = workflow.add(call(target), each=above, id=target)
    return workflow


@pytest.mark.parametrize("width", [0, 1, 40])
def test_each_element_has_an_instance(local: Locals, width: int) -> None:
    """The result of a mapped node is the list of what its instances return, in the order of the elements."""
    run = local(const=const, double=double).start(mapped(list(range(width)), "double"))

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == [2 * number for number in range(width)]
    assert run.result("source") == list(range(width))
    assert run.state.width("double") == width


def test_a_map_over_a_map_pairs_elements_and_skipped_ones_are_none(local: Locals) -> None:
    """An instance that stops itself leaves None, in the list and for the instance that is paired with it."""
    run = local(const=const, even=even, tell=lambda x: f"got {x}").start(mapped([2, 3, 4], "even", "tell"))

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result("even") == [2, None, 4]
    assert run.result("tell") == ["got 2", "got None", "got 4"]


def test_a_part_of_a_result_is_mapped_over_and_a_part_of_each_element_passed(local: Locals) -> None:
    """`each` takes a path into the result, `workflow.item` one into the element, beside any other argument."""
    workflow = Workflow()
    source = workflow.add(call("const", {"rows": [{"id": 7}, {"id": 8}], "unit": "kg", "more": [1]}))
    rows = workflow.add(call("row", source.result["unit"], workflow.item["id"]), each=source.result["rows"])
    more = workflow.add(call("row", "m"), each=source.result["more"])
    workflow.returns([rows.result, more.result, source.result["more"]])
    run = local(const=const, row=lambda unit, number: f"{unit} {number}").start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == [["kg 7", "kg 8"], ["1 m"], [1]]


def test_an_argument_is_nobody_elses(local: Locals) -> None:
    """A function that changes its arguments changes no other's, even if the element stands in its call twice."""

    def spoil(one: list[int], other: list[int]) -> list[int]:
        one.append(0)
        return other

    workflow = Workflow()
    source = workflow.add(call("const", [[1], [2]]))
    first = workflow.add(call("spoil", workflow.item, workflow.item), each=source)
    second = workflow.add(call("const"), each=source)
    workflow.returns([first.result, second.result])
    run = local(const=const, spoil=spoil).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == [[[1], [2]], [[1], [2]]]


@pytest.mark.parametrize("value", ["text", {"a": 1}, None, 7])
def test_what_is_no_list_fails_the_map(local: Locals, value: object) -> None:
    """A map over what is no list fails without an attempt, and the workflow tells why."""
    run = local(const=const, double=double).start(mapped(value, "double"))

    assert ended(run) is WorkflowState.FAILURE
    assert run.status("source") is Status.SUCCEEDED
    with pytest.raises(WorkflowFailedError, match="node 'double' maps over the result of 'source', which is no list"):
        run.result()


def test_a_path_that_leads_nowhere_fails_the_map(local: Locals) -> None:
    """A map over a part that the result does not have fails, and names the part."""
    workflow = Workflow()
    source = workflow.add(call("const", {"rows": [1]}), id="source")
    workflow.add(call("double"), each=source.result["lines"], id="double")
    run = local(const=const, double=double).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match=r"the result of 'source' at \['lines'\], which is no list"):
        run.result()


def test_tuples_are_lists_and_generators_are_not(local: Locals) -> None:
    """A tuple is a list to JSON, and to a map; what JSON cannot write fails the node that returned it."""
    both = local(double=double, pair=lambda: (1, 2), stream=lambda: iter((1, 2)))
    states = []
    for target in ("pair", "stream"):
        workflow = Workflow()
        workflow.add(call("double"), each=workflow.add(call(target)))
        run = both.start(workflow)
        states.append((ended(run), run.status(target)))

    assert states == [(WorkflowState.SUCCESS, Status.SUCCEEDED), (WorkflowState.FAILURE, Status.FAILED)]


def test_an_element_that_cannot_be_written_fails_the_list(local: Locals) -> None:
    """If one element cannot be written down, the node that returned the list fails, and says of what type it is."""
    workflow = Workflow()
    workflow.add(call("double"), each=workflow.add(call("odd"), id="odd"))
    run = local(odd=lambda: [1, object()], double=double).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match=r"node 'odd' failed first: EncodingError: .*object"):
        run.result()


def test_a_failed_instance_stops_no_other_and_is_retried_alone(local: Locals) -> None:
    """Instances fail and are tried again one by one; the map fails if one does for good, with its reason."""
    runs: Counter[int] = Counter()

    def picky(x: int) -> int:
        runs[x] += 1
        if x == 2 or (x == 1 and runs[x] == 1):
            message = f"not {x}"
            raise ValueError(message)
        return x

    workflow = Workflow()
    source = workflow.add(call("const", [0, 1, 2, 3]))
    workflow.add(call("picky"), each=source, max_attempts=2, id="picky")
    run = local(const=const, picky=picky).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    assert run.state.instance_statuses("picky") == (*[Status.SUCCEEDED] * 2, Status.FAILED, Status.SUCCEEDED)
    assert runs == {0: 1, 1: 2, 2: 2, 3: 1}
    with pytest.raises(WorkflowFailedError, match="node 'picky' failed first: ValueError: not 2"):
        run.result()


def test_a_part_that_an_element_lacks_fails_its_instance_only(local: Locals) -> None:
    """Where one element has not the part that the call asks for, that instance fails and the others run."""
    workflow = Workflow()
    source = workflow.add(call("const", [{"id": 1}, {}, {"id": 3}]))
    workflow.add(call("const", workflow.item["id"]), each=source, id="ids")
    run = local(const=const).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    assert run.state.instance_statuses("ids") == (Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED)


def test_unwanted_results_of_instances_are_not_kept(local: Locals) -> None:
    """The list of a mapped node that nobody refers to is not kept, as any other result."""
    workflow = mapped([1, 2], "double")
    workflow.returns("done")
    run = local(const=const, double=double).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    with pytest.raises(ResultNotKeptError):
        run.result("double")


def test_a_limit_holds_for_instances(local: Locals) -> None:
    """With `max_in_flight` no more instances run at a time, and all of them run in the end."""
    now: list[int] = []
    most: list[int] = []

    def work(x: int) -> int:
        now.append(x)
        most.append(len(now))
        now.remove(x)
        return x

    workflow = Workflow(max_in_flight=2)
    workflow.add(call("work"), each=workflow.add(call("const", list(range(20)))))
    run = local(const=const, work=work).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == list(range(20))
    assert max(most) <= 2
