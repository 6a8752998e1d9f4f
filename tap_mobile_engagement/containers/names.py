"""Names that are skipped wherever files are: in a folder, in a container, in a zip file."""

from __future__ import annotations

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")
_RESOURCE_FORKS = "__MACOSX"


def skipped_part(name: str) -> str:
    """A name up to the hidden or unfinished folder or file for which it is skipped; else empty.

    A folder's name ends with ``/``.
    """
    *folders, file = name.split("/")
    reached = 0
    for folder in folders:
        reached += len(folder) + 1
        if (folder.startswith(".") and folder.strip(".")) or folder == _RESOURCE_FORKS:
            return name[:reached]
    return name if file.startswith(".") or file.endswith(_UNFINISHED) else ""
