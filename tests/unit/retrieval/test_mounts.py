from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from secondpass.retrieval.stores.mounts import is_network, type_at

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:40 / /home rw shared:2 master:1 - nfs4 server:/home rw,vers=4.2
41 40 254:1 / /home/ann/local\040disk rw - xfs /dev/vdb rw
42 22 0:42 / /mnt/share rw - cifs //server/share rw
43 22 0:43 / /mnt/ssh rw - fuse.sshfs ann@host: rw
44 22 0:44 / /over rw - nfs server:/over rw
45 44 0:45 / /over rw - tmpfs tmpfs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "file_system", "network"),
    [
        ("/var/lib/index.db", "ext4", False),
        ("/home/ann/index.db", "nfs4", True),
        ("/home/ann/local disk/index.db", "xfs", False),
        ("/homes/index.db", "ext4", False),
        ("/mnt/share/a/b", "cifs", True),
        ("/mnt/ssh/index.db", "fuse.sshfs", True),
        ("/over/index.db", "tmpfs", False),
    ],
)
def test_the_innermost_mount_decides(path, file_system, network):
    assert type_at(PurePosixPath(path), MOUNTS) == file_system
    assert is_network(file_system) is network


def test_no_mounts_are_no_network():
    assert type_at(PurePosixPath("/a"), "") == ""
    assert not is_network("")


@pytest.mark.parametrize("name", ["nfs", "smb3", "afs", "9p", "ceph", "lustre", "fuse.rclone"])
def test_network_types(name):
    assert is_network(name)


@pytest.mark.parametrize("name", ["ext4", "btrfs", "overlay", "fuseblk", "fuse.ntfs-3g", "apfs"])
def test_local_types(name):
    assert not is_network(name)
