"""An extension that lets nothing be written in the place."""

from __future__ import annotations

import errno
import os

from clustrix_core import hookimpl


class ReadOnly:
    def __init__(self, config):
        self._place = config.cluster_type

    @hookimpl(wrapper=True)
    def clustrix_open(self, path, mode):
        if mode != "rb":
            self._refuse(path)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_put(self, path):
        self._refuse(path)
        return (yield)

    def _refuse(self, path):
        reason = f"{os.strerror(errno.EROFS)} (by the config of {self._place})"
        raise OSError(errno.EROFS, reason, path)
