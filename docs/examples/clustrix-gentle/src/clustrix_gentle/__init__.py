"""An extension that lets no recursion start at the top of the place's disks."""

from __future__ import annotations

from clustrix_core import hookimpl


class Gentle:
    def __init__(self, config):
        self._place = config.cluster_host or config.cluster_type

    @hookimpl(wrapper=True)
    def clustrix_find(self, path):
        self._refuse_top(path)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_du(self, path):
        self._refuse_top(path)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_count_files(self, path):
        self._refuse_top(path)
        return (yield)

    def _refuse_top(self, path):
        if not path.strip("/"):
            raise ValueError(f"{path!r} is all of {self._place}: name a folder")
