"""Training and testing: command line frame, entry functions, loop, hooks, optimiser.

Importing this package is cheap; :mod:`openseg_plugin.engine.registered` imports what configs name.
"""
