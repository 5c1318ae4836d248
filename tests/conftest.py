"""For all tests: a property is about what must be true, not about how fast this machine is."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
