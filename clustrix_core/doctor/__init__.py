"""What `clustrix doctor` does: a place is looked at step by step, and each step says what it found.

A backend adds the steps of its own way to the place with a method `diagnose`, which returns `Step`s.
"""

from clustrix_core.doctor.steps import Check, Concern, Fault, LeftOut, Step

__all__ = ["Check", "Concern", "Fault", "LeftOut", "Step"]
