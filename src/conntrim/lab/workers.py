"""Work of a lab run in processes of its own, each with namespaces of its own; they end with this one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

from conntrim.core.model.errors import ConntrimError, HostError
from conntrim.host.signals import orderly_end

T = TypeVar("T")


def side_by_side(label: str, jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What each job gives, in their order, a process a job; whatever ends this process ends them. HostError, by the
    name `label` of the run, for one that fails or ends without a word."""
    context = multiprocessing.get_context("fork")
    running: list[tuple[ForkProcess, Connection]] = []
    try:
        for job in jobs:
            near, far = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(far, job))
            process.start()
            far.close()
            running.append((process, near))
        for _, near in running:
            ok, answer = _received(label, near)
            if not ok:
                raise HostError(label, str(answer))
            yield answer
    finally:
        for process, near in running:
            near.close()
            process.terminate()  # SIGTERM ends it in order; one that is done already does not mind
            process.join()


def _received(label: str, near: Connection) -> tuple[bool, Any]:
    """Whether a job was done, and what it gives, or why not."""
    try:
        answer: tuple[bool, Any] = near.recv()
    except EOFError as error:
        raise HostError(label, "a worker ended without a word") from error
    return answer


def _worker(far: Connection, job: Callable[[], object]) -> None:
    try:
        with orderly_end():
            far.send((True, job()))
    except ConntrimError as error:
        far.send((False, str(error)))
    except KeyboardInterrupt:
        pass  # the parent ends us, or was ended together with us, and says so
