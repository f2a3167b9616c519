"""Street scenes with exact labels, drawn from a seed: data for a first run on any machine.

``python -m openseg_plugin.cli.synth OUT`` writes them in the raw layout of the Cityscapes release.
No
camera took part: geometry, textures, people and vehicles are polygons and noise.
"""
