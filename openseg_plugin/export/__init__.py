"""Exported models: one graph from image bytes to labels, one file per target, checked on images.

``graph`` is what is recorded by ``recording``, ``metadata`` what a file says about itself,
``targets`` writes the files, ``quantization`` makes them smaller, ``session`` runs them, ``check``
compares them with the model on ``sample_images``, ``job`` does all of it in order. Optional
packages are imported where they are used; a missing one is a sentence with its extra.
"""
