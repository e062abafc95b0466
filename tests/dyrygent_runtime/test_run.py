"""The handle on a run: what it tells, and that it tells it by id in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import (
    Attempt,
    Failed,
    Failure,
    LimitError,
    Progress,
    Ran,
    State,
    Status,
    Succeeded,
    UnknownNodeError,
    UnknownWorkflowError,
    UsageError,
    Workflow,
    WorkflowFailedError,
    WorkflowState,
    advance,
    call,
    critical_path,
    explain,
    story,
)
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError, ResultNotKeptError
from dyrygent_core.ports import Entry, Finding, Seen, StoredWorkflow, WorkflowKey
from dyrygent_runtime import Run, start
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.journal_basis import HOSTILE
from tests.dyrygent_runtime.questions import QUESTIONS
from tests.dyrygent_runtime.stores import STORES, Store, chained, of_calls, opened


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


@pytest.fixture
def memory() -> Store:
    journal = MemoryJournal("tests")
    return Store(lambda: journal)


# What it tells


def test_a_run_tells_how_it_is(store: Store) -> None:
    """Each question is answered from what any process has recorded until then."""
    run = store.start(chained("a", "b"))
    watcher = store.elsewhere(run)
    store.succeed(run, "a", value=1)

    for handle in (run, watcher):
        assert handle.workflow_state is WorkflowState.RUNNING
        assert dict(handle.statuses) == {"a": Status.SUCCEEDED, "b": Status.SCHEDULED}
        assert (handle.status("a"), handle.status("b")) == (Status.SUCCEEDED, Status.SCHEDULED)
        assert handle.progress == Progress(done=1, total=2, running=1, failed=0)
        assert [entry.position for entry in handle.history()] == [1, 2]


def test_a_run_tells_how_it_came_about(store: Store) -> None:
    """`explain`, `story` and `critical_path` are those of the core, over the whole journal."""
    run = store.start(chained("a", "b"))
    store.observe(run, Failed(Attempt("a"), Failure("Boom", "no rows"), Ran(5, 7, "w1")))
    graph, entries = run.state.graph, run.history()
    state, _ = advance(graph, State.initial(graph), [it.observation for it in entries])

    told = store.elsewhere(run)
    assert told.explain("b") == explain(graph, state, "b", entries=entries)
    assert "no rows" in told.explain("b")
    assert told.story("a") == story(graph, entries, "a")
    assert told.critical_path() == critical_path(graph, entries)
    assert [step.node for step in told.critical_path()] == ["a"]
    assert told.critical_path("b") == critical_path(graph, entries, "b")


def test_a_timeline_has_what_counted(store: Store) -> None:
    """When and where each node ran for the last time; a late or repeated outcome is not in it."""
    run = store.start(chained("a", "b"))
    store.observe(run, Succeeded(Attempt("a"), Ran(5, 7, "w1")), value=1)
    store.observe(run, Succeeded(Attempt("a"), Ran(9, 9, "w2")))

    assert store.elsewhere(run).timeline() == {"a": Ran(5, 7, "w1")}


def test_any_text_names_a_node(store: Store) -> None:
    """Every question and request about a node takes any id that a node may have."""
    run = store.start(chained(*HOSTILE), id="hostile")
    first = HOSTILE[0]
    store.succeed(run, first, value=1)
    watcher = store.elsewhere(run)

    assert [*watcher.statuses] == [*HOSTILE]
    assert watcher.results() == {first: 1}
    for node in reversed(HOSTILE[1:]):
        assert watcher.status(node) in (Status.SCHEDULED, Status.WAITING)
        assert watcher.explain(node).isprintable()
        assert all(line.isprintable() for line in watcher.story(node))
        watcher.critical_path(node)
        with pytest.raises(WorkflowFailedError):
            watcher.result(node)
        watcher.skip(node, reason=node)
    store.fail(run, HOSTILE[1])
    assert {watcher.status(node) for node in HOSTILE[1:]} == {Status.SKIPPED}
    assert watcher.workflow_state is WorkflowState.SUCCESS


# Results


def test_results_are_those_that_were_kept(store: Store) -> None:
    """`results` has the succeeded nodes that somebody refers to, in topological order; of all or of those named."""
    workflow = chained("a", "b", "c")
    workflow.add(call("work"), id="unwanted")
    workflow.returns([workflow.add(call("work"), id="z").result])
    run = store.start(workflow)
    store.succeed(run, "z", "unwanted", value="other")
    store.succeed(run, "a", value={"n": 1})

    watcher = store.elsewhere(run)
    assert [*watcher.results().items()] == [("a", {"n": 1}), ("z", "other")]
    assert watcher.results(["z", "b", "unwanted"]) == {"z": "other"}
    assert watcher.results([]) == {}
    with pytest.raises(UnknownNodeError):
        watcher.results(["a", "nowhere"])
    with pytest.raises(UsageError, match=r"write \['a'\]"):
        watcher.results("a")


def test_the_result_of_a_map_is_the_list(store: Store) -> None:
    """Among the results a mapped node has the list of its instances' results."""
    workflow = Workflow()
    source = workflow.add(call("work"), id="source")
    workflow.returns(workflow.add(call("work"), each=source, id="map").result)
    run = store.start(workflow)
    store.process().turn(
        run.key,
        [Succeeded(Attempt("source"), sizes=(2,))],
        results={Attempt("source"): JSON_VALUES.encode([5, 6])},
    )
    for index in range(2):
        store.observe(run, Succeeded(Attempt("map", index)), value=10 * index)

    assert run.results() == {"source": [5, 6], "map": [0, 10]}
    assert run.result("map") == [0, 10]


class CountingJournal(MemoryJournal):
    """A journal that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.asked: list[str] = []

    def definition(self, workflow_id: str) -> StoredWorkflow:
        self.asked.append("definition")
        return super().definition(workflow_id)

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        self.asked.append("read")
        return super().read(key, after=after)

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        self.asked.append("results")
        return super().results(key, attempts)


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_a_question_is_one_read(question: str) -> None:
    """Once the definition is known, no question reads the journal twice, and none reads the definition again."""
    journal = CountingJournal()
    store = Store(lambda: journal)
    run = store.start(chained("a", "b"))
    assert run.name == ""
    journal.asked.clear()

    QUESTIONS[question](run)

    assert journal.asked == ([] if question == "name" else ["read"])


def test_all_results_are_one_read() -> None:
    """However many nodes there are, their results are read together."""
    journal = CountingJournal()
    store = Store(lambda: journal)
    run = store.start(chained("a", "b", "c", "d"))
    store.succeed(run, "a", value=1)
    store.succeed(run, "b", value=2)
    journal.asked.clear()

    assert run.results() == {"a": 1, "b": 2}
    assert journal.asked == ["read", "results"]


def test_the_engine_is_asked_for_what_was_not_kept(memory: Store) -> None:
    """A result that nobody refers to may still be in the engine; if it is not, the error says what to write."""
    workflow = of_calls("a")
    workflow.returns(None)
    run = memory.start(workflow)
    memory.process().turn(run.key, [Succeeded(Attempt("a"))])

    with pytest.raises(ResultNotKeptError, match=r"'a' .* refer to it in Workflow\.returns"):
        run.result("a")
    memory.engine.is_deaf = True
    with pytest.raises(ResultNotKeptError, match="cannot be asked for it: the engine cannot be asked"):
        run.result("a")
    memory.engine.is_deaf = False
    memory.engine.known[Attempt("a")] = Finding(Succeeded(Attempt("a")), JSON_VALUES.encode(42))
    assert run.result("a") == 42


def test_a_node_without_a_result_says_why(memory: Store) -> None:
    """The error names the node, what became of it, and its exception."""
    run = memory.start(chained("a", "b"))
    with pytest.raises(WorkflowFailedError, match=r"'a' of workflow .* has no result, it is SCHEDULED"):
        run.result("a")
    with pytest.raises(WorkflowFailedError, match="has no result, it is in RUNNING"):
        run.result()
    memory.fail(run, "a", "no rows")

    with pytest.raises(WorkflowFailedError, match="it is FAILED: Boom: no rows"):
        run.result("a")
    with pytest.raises(WorkflowFailedError, match="in FAILURE; node 'a' failed first: Boom: no rows"):
        run.result()


# By id


def test_a_run_is_found_by_its_id(store: Store) -> None:
    """A process without the engine can ask all there is to ask, and record requests; results are read as JSON."""
    run = store.start(chained("a", "b", name="n"), id="w", tags=["t"])
    store.succeed(run, "a", value=[1])

    found = Run.from_id("w", store.open())

    assert (found.key, found.name, found.tags) == (run.key, "n", ("t",))
    assert found.result("a") == [1]
    found.pause("lunch")
    assert run.state.is_paused
    found.resume()
    found.cancel()
    assert run.state.is_cancelled
    assert repr(found) == "<Run 'w'>"


def test_an_adapters_own_conductor_is_used_by_id(memory: Store) -> None:
    """Over the adapter's journal a run by id shares what the process knows; over another it has its settings."""
    memory.start(of_calls("a"), id="w")
    journal, other = memory.journal, MemoryJournal("other")
    start(memory.engine, of_calls("a"), id="w", journal=other)

    assert Run.from_id("w", journal, memory.engine)._conductor is memory.engine.conductor
    assert Run.from_id("w", other, memory.engine)._conductor.settings is memory.settings


@pytest.mark.parametrize("unknown", [text for text in HOSTILE if len(text) <= 255])
def test_an_unknown_id_is_told(store: Store, unknown: str) -> None:
    """The error has the id that was asked for."""
    with pytest.raises(UnknownWorkflowError) as problem:
        Run.from_id(unknown, store.open())

    assert problem.value.workflow_id == unknown
    assert str(problem.value).isprintable()


@pytest.mark.parametrize("wrong", ["", "a\0", "\ud800", "x" * 256, None, 7])
def test_what_can_be_no_id_is_refused(store: Store, wrong: Any) -> None:
    """Such an id is never asked for."""
    with pytest.raises(UsageError):
        Run.from_id(wrong, store.open())


def test_without_the_adapter_only_json_is_read(memory: Store) -> None:
    """What the engine wrote otherwise cannot be read by a process that does not have it, and the error says so."""
    run = memory.start(chained("a", "b"))
    a = Attempt("a")
    memory.journal.append(run.key, [Succeeded(a)], seen=Seen(), nonce="n", results={a: b"\x80\x04pickled"})

    with pytest.raises(AdapterUnavailableError, match=r"give Run\.from_id the adapter"):
        Run.from_id(run.id, memory.open()).result("a")


# Wrong calls


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.status(5),
        lambda run: run.result(5),
        lambda run: run.results([5]),
        lambda run: run.explain(None),
        lambda run: run.story(b"a"),
        lambda run: run.critical_path(5),
        lambda run: run.skip(5),
        lambda run: run.skip("a", reason=5),
        lambda run: run.rerun([5]),
        lambda run: run.cancel(5),
        lambda run: run.pause(None),
        lambda run: run.wait("soon"),
        lambda run: run.wait(float("nan")),
        lambda run: run.delete(on_unfinished="maybe"),
    ],
)
def test_what_makes_no_sense_is_refused(memory: Store, ask: Callable[[Any], object]) -> None:
    """A value of the wrong kind is named in the error, and nothing is recorded."""
    run = memory.start(of_calls("a"))
    before = run.history()

    with pytest.raises(UsageError):
        ask(run)
    assert run.history() == before


def test_a_reason_is_no_novel(memory: Store) -> None:
    """What is written into the journal has a limit; any text within it is kept as it is."""
    run = memory.start(of_calls("a"))

    with pytest.raises(LimitError, match="at most 10,000 characters, this one 10,001"):
        run.cancel("x" * 10_001)
    assert len(run.history()) == 1
    run.pause("".join(HOSTILE))
    assert run.history()[-1].observation.reason == "".join(HOSTILE)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.status("b"),
        lambda run: run.result("b"),
        lambda run: run.results(["b"]),
        lambda run: run.explain("b"),
        lambda run: run.story("b"),
        lambda run: run.critical_path("b"),
        lambda run: run.skip("b"),
    ],
)
def test_an_unknown_node_is_told(memory: Store, ask: Callable[[Run], object]) -> None:
    """The error names the node, and nothing is recorded."""
    run = memory.start(of_calls("a"))

    with pytest.raises(UnknownNodeError, match="node 'b' is not in the graph"):
        ask(run)
    assert len(run.history()) == 1
