"""Runs tasks on Ray: a cluster on this machine, or one whose address is given; all workers share one file system."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from sdk.errors import Missing
from sdk.sweep.executors.executor import TRIES
from sdk.sweep.work import Done, Task, Worker

_PASSED = ("SDK_CACHE", "SDK_CACHE_MAX", "XDG_CACHE_HOME", "TF_CPP_MIN_LOG_LEVEL", "PYTHONWARNINGS", "TQDM_DISABLE")
"""Variables that a worker on another machine needs as they are here."""


SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "600", "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
}  # fmt: skip
"""It would call home, and give up on a machine that is busy."""


class RayExecutor:
    """`--on ray` (this machine) and `--on ray://head:10001` (a cluster)."""

    name = "ray"

    def check(self, address: str) -> None:
        """Missing when ray is not installed."""
        if importlib.util.find_spec("ray") is None:
            raise Missing("--on ray needs ray: pip install 'snugfit[ray]'")

    @contextlib.contextmanager
    def open(self, address: str, jobs: int | None) -> Iterator[RaySession]:
        """Connect; Missing when no cluster answers at the address."""
        import ray

        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        given = f"ray://{address}" if address else os.environ.get("RAY_ADDRESS", "local")
        own: dict[str, Any] = {"num_cpus": jobs, "include_dashboard": False} if given == "local" else {}
        try:
            ray.init(given, runtime_env={"env_vars": _environment()}, log_to_driver=False, logging_level="ERROR", **own)
        except Exception as error:  # ray raises bare ones
            said = " ".join(str(error).split())[:200]
            raise Missing(f"--on ray: no cluster answers at {given}: {said}") from None
        try:
            workers = int(ray.cluster_resources().get("CPU", 1))
            yield RaySession(min(workers, jobs or workers))
        finally:
            ray.shutdown()


class RaySession:
    """Tasks of one processor each; Ray starts another worker where one dies."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Done | None]]:
        """Do the tasks in order, at most `workers` of them at a time."""
        import ray

        remote = ray.remote(num_cpus=1, max_retries=TRIES - 1, retry_exceptions=False)(_do)
        waiting = list(reversed(tasks))
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                task = waiting.pop()
                running[remote.remote(task)] = task
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                yield running.pop(reference), _result(reference)


def _result(reference: Any) -> Done | None:
    import ray

    try:
        done: Done = ray.get(reference)
        return done
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        return None


_HERE: list[Worker] = []
"""This process's worker, which keeps the model that it loaded last."""


def _do(task: Task) -> Done:
    if not _HERE:
        _HERE.append(Worker())
    return _HERE[0].do(task)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(dict.fromkeys(each or os.getcwd() for each in sys.path))
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **{name: os.environ[name] for name in _PASSED if name in os.environ}}


EXECUTOR = RayExecutor()
