"""Archives to run the tap on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inputs.support import Archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive of its own for a test."""
    return Archive(tmp_path)


@pytest.fixture(scope="module")
def shared_archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive that all tests of a module only read."""
    return Archive(tmp_path_factory.mktemp("archive"))
