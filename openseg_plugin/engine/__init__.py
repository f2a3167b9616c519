"""What a run needs beyond mmengine: loop and resume, hooks, optimizer, processes.

Importing this package is cheap; what configs name is registered by its own modules.
"""
