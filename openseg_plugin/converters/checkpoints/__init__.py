"""Published weights of other projects, loaded by name; weight files read and written safely."""

from openseg_plugin.converters.checkpoints.reader import read_checkpoint, write_checkpoint

__all__ = ['read_checkpoint', 'write_checkpoint']
