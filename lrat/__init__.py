"""Learning to Retrieve from Agent Trajectories.

The names below are those of `lrat.api`. They are loaded when they are first used, so that `import lrat` costs nothing.
"""
__version__ = "0.1.0"

from .core.threads import wait_passively

wait_passively()

__all__ = ["load_corpus", "build_index", "open_index", "collect", "judge", "mine", "train", "evaluate", "compare"]


def __getattr__(name):
    if name not in __all__: raise AttributeError(f"module 'lrat' has no attribute {name!r}; it offers: {', '.join(__all__)}")
    from . import api
    return getattr(api, name)


def __dir__(): return [*globals(), *__all__]
