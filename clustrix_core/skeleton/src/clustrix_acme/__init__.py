"""The backend `acme` for Clustrix."""

from clustrix_acme.backend import AcmeBackend
from clustrix_acme.config import AcmeConfig

__all__ = ["AcmeBackend", "AcmeConfig"]
