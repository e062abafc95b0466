"""A process of its own over a file: `python -m tests.local_dyrygent.process FILE WORKERS kill|interrupt|hold|resume`.

It says on standard output what it does, a word a line: each call of a function, and what has become of its runs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from dyrygent_core import Workflow, call
from dyrygent_runtime import Settings
from local_dyrygent import LocalAdapter

FILE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
WAYS_TO_END = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT}


def say(*words: object) -> None:
    """Say something that whoever started this process reads, also if it is killed right after."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def work(number: int) -> int:
    say("works", number)
    return number


def end(how: str) -> str:
    """End this process in the middle, but only the first that comes here."""
    say("ends")
    mark = FILE.with_suffix(".ended")
    if mark.exists():
        return "went on"
    mark.touch()
    os.kill(os.getpid(), WAYS_TO_END[how])
    time.sleep(60)
    return "was not ended"


def hold() -> str:
    """Run until whoever started this process lets it go on."""
    say("holds")
    limit = time.monotonic() + 60
    while not FILE.with_suffix(".go").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    return "held"


FUNCTIONS = {"work": work, "end": end, "hold": hold}


def ending(how: str) -> Workflow:
    """Ten before, one that ends the process, and ten that are queued beside it."""
    workflow = Workflow()
    before = [workflow.add(call("work", number)) for number in range(10)]
    ends = workflow.add(call("end", how), id="ends", after=before)
    beside = [workflow.add(call("work", 10 + number), after=before) for number in range(10)]
    workflow.returns([ends.result, [node.result for node in beside]])
    return workflow


def holding() -> Workflow:
    """One that takes its time."""
    workflow = Workflow()
    workflow.add(call("hold"), id="held")
    return workflow


def main() -> None:
    """Start a workflow, or go on with what is there; wait for its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts beside it ignore Ctrl-C
    workers, act = int(sys.argv[2]), sys.argv[3]
    settings = Settings(poll_ms=100, sweep_interval_ms=300, grace_ms=3_000) if act == "hold" else None
    with LocalAdapter(FUNCTIONS, workers=workers, journal=f"sqlite:///{FILE}", settings=settings) as adapter:
        if act == "resume":
            runs = adapter.resume()
            say("found", *(run.id for run in runs))
        else:
            workflow = holding() if act == "hold" else ending(act)
            runs = (adapter.start(workflow, id=act),)
        for run in runs:
            say(run.id, run.wait(30).name, run.result())


if __name__ == "__main__":
    main()
