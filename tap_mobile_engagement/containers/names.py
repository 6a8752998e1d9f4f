"""Names that are skipped wherever files are: in a folder, in a container, in a zip file."""

from __future__ import annotations

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")
_RESOURCE_FORKS = "__MACOSX"


def skipped_part(name: str) -> str:
    """The beginning of a name that is skipped, up to the folder or file that is the reason.

    Skipped are names that begin with a dot (``.DS_Store``, ``._x``, and what rsync, azcopy and
    most editors write to first), the folder ``__MACOSX``, and files that a writer has not
    finished: ``.tmp``, ``.part``, ``.partial``, ``.crdownload`` or ``~`` at the end.

    Args:
        name: With ``/`` between folders; a folder's own name ends with it.

    Returns:
        Empty where nothing is skipped.
    """
    *folders, file = name.split("/")
    reached = 0
    for folder in folders:
        reached += len(folder) + 1
        if folder.startswith(".") or folder == _RESOURCE_FORKS:
            return name[:reached]
    return name if file.startswith(".") or file.endswith(_UNFINISHED) else ""
