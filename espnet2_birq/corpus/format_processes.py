"""Run the work of stage 3 in processes, with progress lines; a process that is lost or killed takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from espnet2_birq.corpus.format_recording import FormatOptions, Outcome, Recording, format_recordings
from espnet2_birq.errors import BadInputError

_SECONDS_BETWEEN_PROGRESS_LINES = 5.0
_UTTERANCES_PER_TASK = 32


def format_in_processes(
    recordings: list[Recording], options: FormatOptions, num_done: int, num_total: int
) -> Iterator[Outcome]:
    """Outcomes of all recordings, with progress lines."""
    progress = _Progress(num_done, num_total, options.sampling_rate)
    for outcomes in _run_in_processes(list(_tasks(recordings)), options):
        for outcome in outcomes:
            progress.add(outcome)
            yield outcome


def _tasks(recordings: list[Recording]) -> Iterator[tuple[Recording, ...]]:
    """Recordings in bundles of about ``_UTTERANCES_PER_TASK`` utterances, to spare process traffic."""
    bundle: list[Recording] = []
    size = 0
    for recording in recordings:
        bundle.append(recording)
        size += len(recording.utterances)
        if size >= _UTTERANCES_PER_TASK:
            yield tuple(bundle)
            bundle, size = [], 0
    if bundle:
        yield tuple(bundle)


def _run_in_processes(tasks: list[tuple[Recording, ...]], options: FormatOptions) -> Iterator[list[Outcome]]:
    if options.num_jobs == 1 or len(tasks) <= 1:
        yield from (format_recordings(task, options) for task in tasks)
        return
    # A fork server is quick to fork from and safe where the caller has threads (PyTorch, OpenBLAS).
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([format_recordings.__module__])
    with ProcessPoolExecutor(options.num_jobs, mp_context=context, initializer=_end_with_parent) as executor:
        waiting = iter(tasks)
        running: set[Future[list[Outcome]]] = set()
        try:
            while True:
                while len(running) < 2 * options.num_jobs and (task := next(waiting, None)) is not None:
                    running.add(executor.submit(format_recordings, task, options))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise BadInputError(
                "a worker process was killed (out of memory?); finished files are kept: run again, with fewer --nj"
            ) from error
        finally:
            for future in running:
                future.cancel()


def _end_with_parent() -> None:
    """End this worker when its parent is killed; the executor's workers would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Progress:
    """A line every few seconds: how much is done, how fast, how long to go."""

    def __init__(self, num_done: int, num_total: int, sampling_rate: int) -> None:
        self.num_done, self.num_total, self.sampling_rate = num_done, num_total, sampling_rate
        self.num_new, self.num_samples = 0, 0
        self.start = self.last = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.num_done += 1
        self.num_new += 1
        self.num_samples += outcome.num_samples
        now = time.monotonic()
        if now - self.last < _SECONDS_BETWEEN_PROGRESS_LINES:
            return
        self.last = now
        elapsed = now - self.start
        seconds = self.num_samples / self.sampling_rate
        left = (self.num_total - self.num_done) * elapsed / self.num_new
        print(
            f"  {self.num_done}/{self.num_total} utterances, {seconds / 3600:.2f} h of audio, "
            f"{seconds / elapsed:.0f} times real time, about {left:.0f} s left",
            flush=True,
        )
