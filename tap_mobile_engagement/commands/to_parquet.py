"""The command ``tap-mobile-engagement-to-parquet``: export files as Parquet files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tap_mobile_engagement.archive import URL_VARIABLE
from tap_mobile_engagement.commands.inspect import counted
from tap_mobile_engagement.commands.parquet_files import (
    OF_RECORDS,
    Manifest,
    Plan,
    archive_of,
    closed,
    not_writable,
    start_worker,
    write,
)
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, TapError, ends_on_one_line
from tap_mobile_engagement.reading.rejects import check_dead_letter_path
from tap_mobile_engagement.redaction import install_log_redaction, shown

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.commands.inspect import Finding
    from tap_mobile_engagement.commands.parquet_files import Outcome
    from tap_mobile_engagement.containers import Blob

_FAIL_OR_SKIP = click.Choice(["fail", "skip"])


class Run:
    """One run of the command: writes what is new or changed, and counts by stream."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bad_records: Counter[str] = Counter()
        self.failures: list[TapError] = []
        self.written: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.unchanged = 0

    def write(self) -> None:
        """Write what is new or changed; raises a TapError that ends the run."""
        plan = self._plan
        if plan.bad_records == "skip" and plan.dead_letter_path:
            check_dead_letter_path(plan.dead_letter_path)
        with archive_of(plan) as archive:
            archive.schema(next(iter(plan.streams)))  # so pyarrow is installed
            archive.check()
            with _locked(plan.output), Manifest(plan, archive.container.label) as manifest:
                due = [blob for blob in archive.blobs if not manifest.is_done(blob)]
                self.unchanged = len(archive.blobs) - len(due)
                files: dict[Blob, list[File]] = {}
                try:
                    for file in archive.files(blobs=due):
                        files.setdefault(file.blob, []).append(file)
                except TapError as error:  # what was found before is written
                    self.failures.append(error)
                longest_first = sorted(files, key=lambda blob: blob.size, reverse=True)
                with closing(self._outcomes([files[blob] for blob in longest_first])) as found:
                    for number, outcomes in enumerate(found, 1):
                        manifest.replace([finding for finding, _ in outcomes])
                        for outcome in outcomes:
                            self._count(*outcome)
                        if sys.stderr.isatty():
                            done = f"{number} of {len(files)}, {self.records.total():,} records"
                            click.echo(f"\r{done} …\x1b[K\r", err=True, nl=False)

    def _outcomes(
        self, blobs: Sequence[Sequence[File]]
    ) -> Generator[list[Outcome], None, None]:
        plan = self._plan
        if plan.workers == 1 or len(blobs) <= 1:
            for files in blobs:
                yield write(plan, files)
            return
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(plan.workers, len(blobs)), spawn, start_worker)
        try:
            for future in as_completed([pool.submit(write, plan, files) for files in blobs]):
                yield future.result()
        except BrokenProcessPool:
            next_step = "Look whether memory ran out, use fewer --workers, then run again"
            raise closed("a worker process was ended", next_step=next_step) from None
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _count(self, finding: Finding, error: TapError | None) -> None:
        plan, stream = self._plan, finding.data_type
        if stream is not None and finding.records is not None:
            self.written[stream] += finding.path is not None
            self.records[stream] += finding.records
            self._bad_records[stream] += finding.bad_records or 0
            count = self._bad_records[stream]
            if finding.bad_records and not error and count > plan.max_bad_records:
                what = f"{count} records could not be read"
                next_step = "Look at the files, or raise --max-bad-records"
                error = DataError(Code.TOO_MANY_BAD_RECORDS, what, next_step=next_step)
                error.at(stream=stream, blob=finding.blob)
                finding.fail(error)  # so the next run reads it again
        if error is None or error.code is Code.BLOB_UNRECOGNISED:
            return
        if plan.bad_files == "fail" or error.code in OF_RECORDS:
            self.failures.append(error)
        else:
            name = shown(finding.name)
            click.echo(f"Skipped the file {name}: {error.code}: {error.what}", err=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the output folder, and lock it where that is possible; raises OUTPUT_CLOSED."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from None
    with ExitStack() as stack:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415  (not on every system)

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                next_step = "Wait for it, or use another output folder"
                raise closed(f"another run writes to {folder}", next_step=next_step) from None
            except OSError:
                pass  # a file system without locks
        yield


@partial(ends_on_one_line, tell=partial(click.echo, err=True))
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", metavar="[URL]")
@click.argument("output", metavar="OUTPUT", required=False)
@click.option(
    "--stream", "streams", multiple=True, type=click.Choice([*BY_NAME]), help="Only this one."
)
@click.option("--app-name", default="", help="The label for app_name in the records.")
@click.option("--pattern", default="**", help="Which files to look at, as archive_pattern.")
@click.option("--encoding", help="Encoding of text, as archive_encoding.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes, a file each.")
@click.option("--bad-files", type=_FAIL_OR_SKIP, default="fail", help="As bad_files.")
@click.option("--bad-records", type=_FAIL_OR_SKIP, default="fail", help="As bad_records.")
@click.option(
    "--max-bad-records", type=click.IntRange(0), default=1000, help="As max_bad_records."
)
@click.option("--dead-letter-path", help="As dead_letter_path.")
@click.version_option(package_name="tap-mobile-engagement")
def main(url: str, output: str | None, streams: Sequence[str], **options: Any) -> None:
    """Write the export files of an archive as Parquet: a folder per stream, a file per file.

    URL is the container: an Azure container URL with a SAS that allows to read and list (in
    quotes, because it has an &), or a folder. Without it that of the environment variable
    TAP_MOBILE_ENGAGEMENT_CONTAINER_URL is taken, which no other user of the machine sees.
    OUTPUT is a folder. A second run takes only what is new or changed.
    """
    install_log_redaction()
    # Before pyarrow is imported, here and in the workers: its own allocator keeps 50 MB more.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if output is None:
        url, output = os.environ.get(URL_VARIABLE, ""), url
    if not url:
        raise click.UsageError(f"Give URL and OUTPUT, or OUTPUT alone and set {URL_VARIABLE}.")
    run = Run(
        Plan(url=url, output=Path(output), streams=frozenset(streams or BY_NAME), **options)
    )
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
    try:
        run.write()
    except TapError as error:
        run.failures.append(error)
    for stream in BY_NAME:
        if run.written[stream]:
            files = counted(run.written[stream], "file")
            click.echo(f"{stream}: {files}, {counted(run.records[stream], 'record')}")
    if run.unchanged:
        click.echo(f"unchanged: {run.unchanged}")
    for failure in run.failures:
        click.echo(str(failure), err=True)
    if run.failures:
        sys.exit(1)
