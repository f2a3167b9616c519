"""Training and testing: entry functions, loop, hooks, optimiser.

Registered (configs say ``openseg_plugin.<name>``): ``IterBasedTrainLoop``, ``CheckpointHook``,
``SigtermHook``, ``NanGuardHook``, ``LabelCheckHook``, ``BackboneAndRest`` (optimiser groups),
``PolyLR``, ``CPUAmpOptimWrapper``.
"""
