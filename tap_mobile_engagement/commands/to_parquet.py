"""The command ``tap-mobile-engagement-to-parquet``: export files as Parquet files."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tap_mobile_engagement.commands.manifest import Manifest, path_of
from tap_mobile_engagement.commands.parquet_files import (
    Plan,
    locked,
    start_worker,
    work,
    write_blob,
)
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tap_mobile_engagement.exit import errors_on_one_line
from tap_mobile_engagement.redaction import install_log_redaction

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import FrameType

    from tap_mobile_engagement.archive import Archive, File
    from tap_mobile_engagement.commands.parquet_files import Outcome

_FAIL_OR_SKIP = click.Choice(["fail", "skip"])


class _Stopped(BaseException):
    """A signal wants the run to end."""

    def __init__(self, number: int) -> None:
        self.number = number


class Run:
    """One run of the command.

    Args:
        plan: What to write, and how.
        workers: Processes to use; with one, this one does it.
        skip_bad_files: Whether damaged files are passed over.
        skip_unrecognised: Whether sound files that are no exports are passed over.
    """

    def __init__(
        self, plan: Plan, *, workers: int, skip_bad_files: bool, skip_unrecognised: bool
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._skip_bad_files = skip_bad_files
        self._skip_unrecognised = skip_unrecognised
        self._is_watched = sys.stderr.isatty()
        self._bad_records: Counter[str] = Counter()
        self.failures: list[TapError] = []
        self.written: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.unchanged = 0

    def write(self, *, accept_no_files: bool) -> None:
        """Write what is new or changed.

        Raises:
            TapError: What ends the run; what is wrong with single files is in ``failures``.
        """
        plan = self._plan
        with plan.archive() as archive:
            archive.schema(next(iter(plan.streams)))  # so pyarrow is installed
            if not accept_no_files:
                archive.check()
            _make_folder(plan.output)
            with locked(plan.output):
                manifest = Manifest(
                    plan.output,
                    archive=archive.label,
                    app_name=plan.app_name,
                    encoding=plan.encoding,
                )
                self._write(archive, manifest)

    def _write(self, archive: Archive, manifest: Manifest) -> None:
        known = manifest.known(self._plan.streams, skip_unrecognised=self._skip_unrecognised)
        files = sorted(
            archive.files(known=known), key=lambda file: (file.blob.name, file.member or 0)
        )
        self.unchanged = archive.count - len({file.blob.name for file in files})
        blobs = [[*some] for _, some in groupby(files, key=lambda file: file.blob.name)]
        blobs.sort(key=lambda some: some[0].blob.size, reverse=True)  # the longest first
        wanted = [file for file in files if file.stream in self._plan.streams]
        manifest.begin(map(path_of, wanted))
        is_complete = False
        try:
            with closing(self._outcomes(archive, blobs)) as found:
                for number, outcomes in enumerate(found, 1):
                    manifest.replace(outcomes[0].entry.blob, [each.entry for each in outcomes])
                    for outcome in outcomes:
                        self._count(outcome)
                    self._show(f"{number} of {len(blobs)}, {self.records.total():,} records")
            is_complete = True
        finally:
            manifest.end(is_complete=is_complete)

    def _outcomes(
        self, archive: Archive, blobs: Sequence[Sequence[File]]
    ) -> Generator[list[Outcome], None, None]:
        if self._workers == 1 or len(blobs) <= 1:
            for files in blobs:
                yield write_blob(self._plan, archive, files)
            return
        pool = ProcessPoolExecutor(
            min(self._workers, len(blobs)),
            multiprocessing.get_context("spawn"),
            start_worker,
            (self._plan,),
        )
        try:
            for future in as_completed([pool.submit(work, files) for files in blobs]):
                yield future.result()
        except BrokenProcessPool:
            raise RetryLaterError(
                Code.OUTPUT_CLOSED,
                "a worker process was ended from outside",
                next_step="Look whether memory ran out, use fewer --workers, then run again",
            ) from None
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _count(self, outcome: Outcome) -> None:
        entry, error = outcome.entry, outcome.error
        stream = entry.data_type
        if stream is not None and entry.records is not None:
            self.written[stream] += entry.path is not None
            self.records[stream] += entry.records
            before = self._bad_records[stream]
            self._bad_records[stream] += entry.bad_records or 0
            if before <= self._plan.most_bad_records < self._bad_records[stream] and not error:
                self.failures.append(_too_many(stream, self._bad_records[stream]))
        if error is None:
            return
        if error.code is Code.BLOB_UNRECOGNISED:
            is_skipped = self._skip_unrecognised
        else:
            is_skipped = self._skip_bad_files and error.code not in _OF_RECORDS
        if not is_skipped:
            self.failures.append(error)
        elif error.code is not Code.BLOB_UNRECOGNISED:
            click.echo(f"Skipped the file {entry.name}: {error.code}: {error.what}", err=True)

    def _show(self, text: str) -> None:
        if self._is_watched:
            click.echo(f"\r{text} …\x1b[K\r", err=True, nl=False)


_OF_RECORDS = {Code.BAD_RECORD, Code.TOO_MANY_BAD_RECORDS}


def _too_many(stream: str, count: int) -> TapError:
    return DataError(
        Code.TOO_MANY_BAD_RECORDS,
        f"{count} records could not be read",
        next_step="Look at the files, or raise --max-bad-records",
        stream=stream,
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetryLaterError(
            Code.OUTPUT_CLOSED,
            f"the folder {path} can't be made: {error.strerror}",
            next_step="Give another folder, or rights there",
        ) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--stream", "streams", multiple=True, type=click.Choice([*BY_NAME]), help="Only this one."
)
@click.option("--app-name", default="", help="The label for app_name in the records.")
@click.option("--pattern", default="**", help="Which files to look at, as archive_pattern.")
@click.option("--encoding", help="Encoding of text, as archive_encoding.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes, a file each.")
@click.option("--bad-files", type=_FAIL_OR_SKIP, default="fail", help="As bad_files.")
@click.option(
    "--unrecognised-files", type=_FAIL_OR_SKIP, default="skip", help="As unrecognised_files."
)
@click.option(
    "--no-files", type=click.Choice(["fail", "accept"]), default="fail", help="As no_files."
)
@click.option("--bad-records", type=_FAIL_OR_SKIP, default="fail", help="As bad_records.")
@click.option(
    "--max-bad-records", type=click.IntRange(0), default=1000, help="As max_bad_records."
)
@click.option("--dead-letter-path", help="As dead_letter_path.")
@click.version_option(package_name="tap-mobile-engagement")
@errors_on_one_line(partial(click.echo, err=True))
def main(
    url: str,
    output: Path,
    *,
    streams: tuple[str, ...],
    app_name: str,
    pattern: str,
    encoding: str | None,
    workers: int,
    bad_files: str,
    unrecognised_files: str,
    no_files: str,
    bad_records: str,
    max_bad_records: int,
    dead_letter_path: str | None,
) -> None:
    """Write the export files of an archive as Parquet: a folder per stream, a file per file.

    URL is the container: an Azure container URL with a SAS that allows to read and list (in
    quotes, because it has an &), or a folder. OUTPUT is a folder. A second run takes only what
    is new or changed.
    """
    install_log_redaction()
    plan = Plan(
        url=url,
        output=output,
        streams=frozenset(streams or BY_NAME),
        app_name=app_name,
        pattern=pattern,
        encoding=encoding,
        skip_bad_records=bad_records == "skip",
        most_bad_records=max_bad_records,
        dead_letter_path=dead_letter_path,
    )
    run = Run(
        plan,
        workers=workers,
        skip_bad_files=bad_files == "skip",
        skip_unrecognised=unrecognised_files == "skip",
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        run.write(accept_no_files=no_files == "accept")
    except _Stopped as stopped:
        sys.exit(128 + stopped.number)
    except TapError as error:
        run.failures.append(error)
    _report(run)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def _report(run: Run) -> None:
    for stream in BY_NAME:
        if run.written[stream]:
            count = run.written[stream]
            files = "1 file" if count == 1 else f"{count} files"
            click.echo(f"{stream}: {files}, {run.records[stream]} records")
    if run.unchanged:
        click.echo(f"unchanged: {run.unchanged}")
    for error in run.failures:
        click.echo(str(error), err=True)
    if run.failures:
        sys.exit(1)
