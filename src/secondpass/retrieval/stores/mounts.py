"""Tells which file system holds a path, and whether it is on another machine."""

from __future__ import annotations

import re
from pathlib import PurePath, PurePosixPath

# Processes on several machines share these, but no memory: SQLite's write-ahead log needs shared
# memory, and without it two writers destroy the file.
NETWORK_TYPES = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
    }
)
_NETWORK_DRIVERS = re.compile(
    r"fuse\.(sshfs|davfs2?|curlftpfs|rclone|s3fs|gcsfuse|goofys|glusterfs|ceph.*|blobfuse2?|smb.*|nfs.*)"
)


def type_at(path: PurePath, mountinfo: str) -> str:
    """The file system type at an absolute path, '' where none is known.

    `mountinfo` is the text of Linux's /proc/self/mountinfo.
    """
    best, found = -1, ""
    for line in mountinfo.splitlines():
        # 36 35 98:0 /root /mount/point options [tags...] - type source options
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after.split():
            continue
        point = PurePosixPath(_unescaped(fields[4]))
        # A later mount on the same point covers an earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), after.split()[0]
    return found


def is_network(file_system: str) -> bool:
    """Whether files of this type are kept on another machine."""
    return file_system in NETWORK_TYPES or _NETWORK_DRIVERS.fullmatch(file_system) is not None


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)
