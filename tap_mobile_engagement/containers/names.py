"""Names that are skipped wherever files are: in a folder, in a container, in a zip file."""

from __future__ import annotations

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")
_RESOURCE_FORKS = "__MACOSX"


def skipped_part(name: str) -> str:
    """A name up to the folder or file for which it is skipped; empty if it is not.

    A name is skipped if a part begins with a dot (``.DS_Store``, ``._x``, what rsync, azcopy
    and most editors write first), is the folder ``__MACOSX``, or is an unfinished file:
    ``.tmp``, ``.part``, ``.partial``, ``.crdownload`` or ``~`` at the end. A folder's name ends
    with ``/``.
    """
    *folders, file = name.split("/")
    reached = 0
    for folder in folders:
        reached += len(folder) + 1
        if (folder.startswith(".") and folder.strip(".")) or folder == _RESOURCE_FORKS:
            return name[:reached]
    return name if file.startswith(".") or file.endswith(_UNFINISHED) else ""
