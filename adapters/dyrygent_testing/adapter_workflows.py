"""The rules of the adapter suite about whole workflows: what a user is promised, on this engine."""

from __future__ import annotations

from dyrygent_core import RetryPolicy, Status, Workflow, WorkflowState
from dyrygent_runtime import Run
from dyrygent_testing.adapter_basis import AdapterBasis, Case

__all__ = ["WorkflowRules"]


class WorkflowRules(AdapterBasis):
    """All clauses together."""

    def test_whole_diamond(self, case: Case) -> None:
        """Results pass along any edge, and each node runs once."""
        workflow = Workflow("diamond")
        top = workflow.add(case.here("note", "top", {"n": [1, 2]}))
        left = workflow.add(case.here("note", "left", top.result["n"][0]))
        right = workflow.add(case.here("note", "right", [top.result, "\u2713"]))
        workflow.add(case.call("echo", left.result, right=right.result))
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == {"args": [1], "kwargs": {"right": [{"n": [1, 2]}, "\u2713"]}}
        assert [case.count(name) for name in ("top", "left", "right")] == [1, 1, 1]

    def test_whole_map(self, case: Case) -> None:
        """A node runs once for each element, and what reads it gets the values in order; of an empty list, none."""
        workflow = Workflow()
        source = workflow.add(case.call("give", {"items": [3, 1, 2], "none": []}))
        each = workflow.add(case.call("give", workflow.item), each=source.result["items"])
        again = workflow.add(case.call("echo", workflow.item), each=each)
        none = workflow.add(case.call("give", workflow.item), each=source.result["none"])
        workflow.add(case.call("give", [each.result, again.result, none.result]))
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == [[3, 1, 2], [{"args": [it], "kwargs": {}} for it in (3, 1, 2)], []]

    def test_whole_wide_step(self, case: Case) -> None:
        """A node with 250 dependents starts each of them once."""
        workflow = Workflow()
        root = workflow.add(case.call("give", 0))
        leaves = [workflow.add(case.here("note", f"leaf {it}", it, root.result)) for it in range(250)]
        workflow.add(case.call("give", [leaf.result for leaf in leaves]))
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == list(range(250))
        assert {case.count(f"leaf {it}") for it in range(250)} == {1}

    def test_whole_failure(self, case: Case) -> None:
        """What needs a failed node does not run, what may do without it does, and the first failure is told."""
        workflow = Workflow()
        bad = workflow.add(case.call("fail", "ValueError", "boom"), id="bad")
        fine = workflow.add(case.call("fail", "KeyError", "k"), id="fine", allow_failure=True)
        below = workflow.add(case.here("note", "below"), after=[bad])
        whatever = workflow.add(case.here("note", "whatever", 1), after=[bad.done, fine])
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.FAILURE
        assert [run.status(it) for it in (bad, fine, below, whatever)] == [
            Status.FAILED,
            Status.FAILED,
            Status.UPSTREAM_FAILED,
            Status.SUCCEEDED,
        ]
        assert (case.count("below"), case.count("whatever")) == (0, 1)
        assert run.state.first_failed == "bad"

    def test_whole_retry(self, case: Case) -> None:
        """A node is tried again after its delay, as often as it says and no more."""
        workflow = Workflow()
        soon = workflow.add(case.here("fail_until", "soon", 2), max_attempts=3, retry=RetryPolicy(delay_ms=20))
        never = workflow.add(case.here("fail_until", "never", 9), max_attempts=2, allow_failure=True)
        workflow.add(case.call("give", soon.result), after=[never])
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == 3
        assert (case.count("soon"), case.count("never")) == (3, 2)
        assert run.status(never) is Status.FAILED

    def test_whole_branches_and_skips(self, case: Case) -> None:
        """A task chooses which dependents go on; one that skips itself takes what needs it along."""
        workflow = Workflow()
        chooser = workflow.add(case.call("take", 1, ["left"]), id="chooser")
        workflow.add(case.here("note", "left", chooser.result), id="left")
        workflow.add(case.here("note", "right", chooser.result), id="right")
        odd = workflow.add(case.call("skip", "odd"), id="odd")
        workflow.add(case.here("note", "behind", odd.result), id="behind")
        workflow.returns(None)
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert [run.status(it).name for it in ("left", "right", "odd", "behind")] == [
            "SUCCEEDED",
            "SKIPPED",
            "SKIPPED",
            "SKIPPED",
        ]
        assert (case.count("left"), case.count("right"), case.count("behind")) == (1, 0, 0)

    def test_whole_finalizers(self, case: Case) -> None:
        """What is for the end runs once, after all others, according to what they came to."""
        workflow = Workflow()
        bad = workflow.add(case.call("fail", "ValueError", "boom"))
        workflow.add(case.here("note", "slow", 1), after=[bad.done])
        workflow.on_error(case.here("note", "on error"))
        workflow.on_success(case.here("note", "on success"))
        workflow.finally_(case.here("note", "finally", workflow.summary["state"]), id="finally")
        workflow.returns(None)
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.FAILURE
        assert [case.count(it) for it in ("slow", "on error", "on success", "finally")] == [1, 1, 0, 1]

    def test_whole_cancel(self, case: Case) -> None:
        """After a cancel nothing more starts; what runs ends, and so does the workflow."""
        workflow = Workflow()
        held = workflow.add(case.here("hold", "held"))
        below = workflow.add(case.here("note", "below"), after=[held.done])
        workflow.finally_(case.here("note", "finally"))
        run = case.start(workflow)
        case.has_begun("held")
        run.cancel("enough")
        case.open()

        assert case.ended(run) is WorkflowState.CANCELLED
        assert run.status(below) is Status.CANCELLED
        assert (case.count("below"), case.count("finally")) == (0, 1)

    def test_whole_pause(self, case: Case) -> None:
        """While a workflow is paused nothing more of it starts; then it goes on."""
        workflow = Workflow()
        held = workflow.add(case.here("hold", "held", 1))
        workflow.add(case.here("note", "below", held.result))
        run = case.start(workflow)
        case.has_begun("held")
        run.pause()
        case.open()
        case.until(lambda: run.status(held) is Status.SUCCEEDED, "the end of what ran")
        case.is_serving()
        assert case.count("below") == 0
        run.resume()

        assert case.ended(run) is WorkflowState.SUCCESS
        assert (run.result(), case.count("below")) == (1, 1)

    def test_whole_rerun(self, case: Case) -> None:
        """A rerun repeats what failed and what is below it, and nothing else."""
        workflow = Workflow()
        fine = workflow.add(case.here("note", "fine", 1))
        flaky = workflow.add(case.here("fail_unless_open", "flaky"), after=[fine])
        workflow.add(case.here("note", "below", flaky.result))
        run = case.start(workflow)
        assert case.ended(run) is WorkflowState.FAILURE
        case.open()
        run.rerun()

        assert case.ended(run) is WorkflowState.SUCCESS
        assert [case.count(name) for name in ("fine", "flaky", "below")] == [1, 2, 1]

    def test_whole_skip(self, case: Case) -> None:
        """A node that somebody skips is done without, also while it runs."""
        workflow = Workflow()
        held = workflow.add(case.here("hold", "held"))
        below = workflow.add(case.here("note", "below", 1), after=[held.skipped])
        run = case.start(workflow)
        case.has_begun("held")
        run.skip(held, "not today")
        case.open()

        assert case.ended(run) is WorkflowState.SUCCESS
        status = run.status(held)  # it may have succeeded all the same, and that counts
        assert status in (Status.SKIPPED, Status.SUCCEEDED)
        assert (run.status(below) is Status.SUCCEEDED) is (status is Status.SKIPPED)

    def test_whole_deadline(self, case: Case) -> None:
        """When its deadline has passed a workflow ends in ERROR, and what has not started does not."""
        workflow = Workflow(deadline=300)
        held = workflow.add(case.here("hold", "held"))
        workflow.add(case.here("note", "below"), after=[held.done])
        run = case.start(workflow)
        case.until(lambda: run.state.is_ending, "the deadline")
        case.open()

        assert case.ended(run) is WorkflowState.ERROR
        assert case.count("below") == 0

    def test_whole_time_out(self, case: Case) -> None:
        """An attempt that takes too long counts as failed, and the next may be faster."""
        workflow = Workflow()
        workflow.add(case.here("hold_first", "slow"), id="slow", timeout=500, max_attempts=2)
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == 2
        assert run.state.attempt("slow").number == 2

    def test_whole_many_at_once(self, case: Case) -> None:
        """Workflows that run side by side do not mix."""
        runs: list[Run] = []
        for number in range(20):
            workflow = Workflow()
            last = workflow.add(case.call("give", [number]))
            for _ in range(3):
                last = workflow.add(case.call("give", last.result))
            runs.append(case.start(workflow))

        assert {case.ended(run) for run in runs} == {WorkflowState.SUCCESS}
        assert [run.result() for run in runs] == [[number] for number in range(20)]
