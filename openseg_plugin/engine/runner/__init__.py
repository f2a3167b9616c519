"""Training loop, exact resume and the random state of a run."""

# what ``--compile`` of a training may be followed by, and CompileHook's ``mode``
COMPILE_MODES = ('default', 'reduce-overhead', 'max-autotune')
