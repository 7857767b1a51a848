"""Runs tasks in processes of this machine: as many as memory allows, replaced when one dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sdk.errors import BadInput
from sdk.sweep.executors.executor import TRIES
from sdk.sweep.memory import Memory
from sdk.sweep.work import Done, Task, Worker

_GRACE = 5.0
"""Seconds that a worker has to clean up after itself before it is killed."""


class LocalExecutor:
    """`--on local`, the default."""

    name = "local"

    def check(self, address: str) -> None:
        """BadInput when an address is given."""
        if address:
            raise BadInput(f"--on local://{address}: the local pool has no address: write --on local")

    @contextlib.contextmanager
    def open(self, address: str, jobs: int | None) -> Iterator[Pool]:
        """Start no process yet: each starts with its first task."""
        memory = Memory()
        pool = Pool(jobs if jobs is not None else memory.workers(os.cpu_count() or 1), memory)
        try:
            yield pool
        finally:
            pool.stop()


@dataclass(slots=True)
class _Process:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class Pool:
    """Processes with a pipe each, so that a death is known to be that of one task."""

    def __init__(self, workers: int, memory: Memory) -> None:
        self.workers = workers
        self._memory = memory
        self._processes: list[_Process] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Done | None]]:
        """Do the tasks in order; a task whose worker died is done again by another one, `TRIES` times."""
        waiting = deque(tasks)
        deaths: dict[int, int] = {}
        while waiting or self._busy():
            self._hand_out(waiting)
            for process in self._ready():
                task, done = self._collect(process)
                if done is not None:
                    self._memory.learn(task, done.peak)
                    yield task, done
                    continue
                deaths[id(task)] = deaths.get(id(task), 0) + 1
                if deaths[id(task)] < TRIES:
                    waiting.appendleft(task)
                else:
                    yield task, None

    def stop(self) -> None:
        """End every worker; one that does not clean up in time is killed."""
        for each in self._processes:
            each.process.terminate()
        for each in self._processes:
            each.process.join(_GRACE)
            if each.process.is_alive():
                each.process.kill()
                each.process.join()
        self._processes.clear()

    def _busy(self) -> list[_Process]:
        return [each for each in self._processes if each.task is not None]

    def _hand_out(self, waiting: deque[Task]) -> None:
        while waiting and len(self._busy()) < self.workers:
            idle = next((each for each in self._processes if each.task is None), None)
            if self._busy() and not self._memory.has_room(waiting[0], idle.process.pid if idle else None):
                return
            idle = idle or self._started()
            idle.task = waiting.popleft()
            with contextlib.suppress(OSError):  # it died while idle: noticed as the death of this task
                idle.pipe.send(idle.task)

    def _started(self) -> _Process:
        """A new worker."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, os.getpid()), daemon=True)
        process.start()
        there.close()
        made = _Process(process, here)
        self._processes.append(made)
        return made

    def _ready(self) -> list[_Process]:
        pipes = {each.pipe: each for each in self._busy()}
        return [pipes[pipe] for pipe in wait(list(pipes), timeout=1.0)]  # type: ignore[index]

    def _collect(self, process: _Process) -> tuple[Task, Done | None]:
        """The task of a worker with its result, or with None when the worker is dead."""
        assert process.task is not None
        task, process.task = process.task, None
        try:
            done: Done = process.pipe.recv()
            return task, done
        except (EOFError, OSError):
            process.process.join(_GRACE)
            process.process.kill()
            self._processes.remove(process)
            return task, None


def _serve(pipe: Connection, parent: int) -> None:
    """A worker's whole life: task in, result out, until the driver closes the pipe or is gone."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides, and ends its workers with SIGTERM
    busy = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1) if busy else os._exit(1))  # an idle one has nothing to clean up
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    worker = Worker()
    with contextlib.suppress(EOFError, OSError):
        os.dup2(2, 1)  # what toolchains print is not the driver's output
        while True:
            task = pipe.recv()
            busy = True
            done = worker.do(task)
            busy = False
            pipe.send(done)


def _leave_with(parent: int) -> None:
    """End this process when its driver was killed: nobody is left to take a result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


EXECUTOR = LocalExecutor()
