"""What a run needs beyond mmengine: loop and resume, hooks, optimizer, processes.

Importing this package is cheap; :mod:`openseg_plugin.engine.registered` imports what configs name.
"""
