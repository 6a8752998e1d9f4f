"""Names in files: written in whatever case, with or without separators, one meaning."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_mobile_engagement.datatypes import DataType


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A field name without case and word separators, as CSV headers vary in them."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


@lru_cache(maxsize=64)
def list_names(data_type: DataType) -> frozenset[str]:
    """The plain names of a list that holds a group's items, or all elements of a file.

    Documented are ``activities`` and ``events``; for the others the names of the stream and of
    the service's export type are taken, which is an assumption. A name that is also a field of
    the data type (tags) does not count.
    """
    names = {data_type.name, data_type.group_list or "", data_type.export_type or ""}
    names |= {f"{data_type.export_type}s"} if data_type.export_type else set()
    fields = {plain(source) for field in data_type.fields for source in field.sources}
    return frozenset(plain(name) for name in names if name) - fields
