"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow by chance; a time limit per example would make tests fail by chance, too.
settings.register_profile("viewcov", deadline=None)
settings.load_profile("viewcov")
