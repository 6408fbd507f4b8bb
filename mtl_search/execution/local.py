"""Jobs done in this process, one by one."""

import torch

from mtl_search.errors import reason_of
from mtl_search.execution.jobs import Job, Source, Wait, Work
from mtl_search.internal.signals import uninterrupted


def run_here(source: Source, work: Work) -> None:
    """Do all jobs in this process, one by one: for debugging."""
    threads = torch.get_num_threads()
    try:
        while (job := _asked(source)) is not None:
            assert isinstance(job, Job), "with nothing under way there is nothing to wait for"
            _do(job, source, work)
    finally:
        torch.set_num_threads(threads)


def _asked(source: Source) -> Job | Wait | None:
    with uninterrupted():
        return source.ask()


def _do(job: Job, source: Source, work: Work) -> None:
    """Do one job. An error of the training is told to the source; one of the source ends the run."""
    reports = work.reports(job)
    goes_on = True
    while goes_on:
        try:
            report = next(reports)
        except Exception as error:
            with uninterrupted():
                source.fail(job.number, reason_of(error))
            return
        with uninterrupted():
            goes_on = source.report(job.number, report) and not report.done
