"""What the operations return."""

from __future__ import annotations

import stat as _stat
from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What `stat(2)` says of one file.

    Attributes:
        size: apparent size in bytes.
        modified: time of last modification, in seconds since the epoch, with fractions.
        is_dir: whether it is a directory.
        permissions: the lowest nine permission bits as three octal digits, such as `"644"`.
        name: the last component of the path.
        path: the path as it was given, or as a listing spelled it; another call takes it as it is.
        mode: `st_mode`, file type and all permission bits included.
        mtime_ns: time of last modification, in nanoseconds since the epoch.
        uid: the owner's numeric id; None where the backend can't tell.
        gid: the group's numeric id; None where the backend can't tell.
        nlink: the number of hard links; None where the backend can't tell.
    """

    size: int
    modified: float
    is_dir: bool
    permissions: str
    name: str
    path: str
    mode: int
    mtime_ns: int
    uid: int | None
    gid: int | None
    nlink: int | None

    @classmethod
    def from_record(cls, record: tuple[str, int, int, int, int | None, int | None, int | None]) -> FileInfo:
        """Make one from the engine's record `(path, size, mtime_ns, mode, uid, gid, nlink)`."""
        path, size, mtime_ns, mode, uid, gid, nlink = record
        name = path.rstrip("/").rpartition("/")[2] or path[:1]
        permissions = f"{mode & 0o777:03o}"
        # By position, in the order of the fields: this is done for every entry of a listing.
        return cls(
            size,
            _seconds(mtime_ns),
            _stat.S_ISDIR(mode),
            permissions,
            name,
            path,
            mode,
            mtime_ns,
            uid,
            gid,
            nlink,
        )

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return _stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link: only where links were not followed."""
        return _stat.S_ISLNK(self.mode)

    @property
    def modified_datetime(self) -> datetime:
        """Time of last modification, as an aware datetime in UTC (to the microsecond)."""
        seconds, nanoseconds = divmod(self.mtime_ns, 1_000_000_000)
        whole = datetime.fromtimestamp(seconds, timezone.utc)
        return whole.replace(microsecond=nanoseconds // 1000)


def _seconds(nanoseconds: int) -> float:
    """The very float that `os.stat` gives, which is rounded in two steps."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return whole + 1e-9 * rest


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What `du` returns.

    Attributes:
        total_bytes: the apparent bytes of all regular files, each inode counted once.
        file_count: the number of regular files, each name counted.
    """

    total_bytes: int
    file_count: int

    @property
    def total_mb(self) -> float:
        """`total_bytes` in units of 1024² bytes."""
        return self.total_bytes / 1024**2

    @property
    def total_gb(self) -> float:
        """`total_bytes` in units of 1024³ bytes."""
        return self.total_bytes / 1024**3
