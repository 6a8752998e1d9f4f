"""Elements as the service would export them, to write archives of."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def elements_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Gives some elements of a data type in the documented form."""
    folder = tmp_path_factory.mktemp("documented")
    options = Options(
        seed=3, devices=8, sessions_per_device=0.4, errors_per_session=1, crashes_per_session=1
    )
    with Simulator(options) as simulator:

        @cache
        def elements(data_type: str) -> list[dict[str, Any]]:
            (name,) = simulator.write_export("shop", data_type, folder.as_uri())
            found: list[dict[str, Any]] = json.loads((folder / name).read_bytes())
            assert len(found) > 1
            return found

        yield elements
