"""The resident memory of a process, as Linux knows it."""

from __future__ import annotations


def resident_bytes(process: int | str = "self") -> int:
    return _status("VmRSS:", process)


def peak_bytes(process: int | str = "self") -> int:
    """The peak of resident memory. (`getrusage` would give the parent's where that is higher.)"""
    return _status("VmHWM:", process)


def forget_peak(process: int | str = "self") -> None:
    """The peak is counted anew from what is resident now."""
    with open(f"/proc/{process}/clear_refs", "w") as file:
        file.write("5")


def _status(name: str, process: int | str) -> int:
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))
