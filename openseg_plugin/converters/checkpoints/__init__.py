"""Published weights of other projects, loaded by name; weight files read and written safely.

No network is built for a conversion: names and arrays go in, names and arrays come out.

    from openseg_plugin.converters.checkpoints import convert, read_checkpoint, write_checkpoint

    conversion = convert(read_checkpoint('hrnet_w48_ocr_1_latest.pth'))
    conversion.source          # Source(name='openseg', network='hrnet_w48_ocr')
    conversion.config          # 'ocr/hrnet48_iabn_cityscapes_80k.py', and what to change in it:
    conversion.cfg_options     # {} or e.g. {'model.decode_head.num_classes': 59, ...}
    conversion.preprocessing   # BGR, minus (123.675, ...), divided by (58.395, ...)
    write_checkpoint({'state_dict': conversion.state_dict}, 'ours.safetensors')

``convert`` takes numpy arrays or tensors and gives back the same kind. Every entry of the file is
accounted for, or a ``CheckpointError`` lists all that have no place together with all that are
missing. ``adapt`` is the same for a model that is already there: it is what ``load_from=``,
``test.py`` and ``init_cfg`` use.
"""

from openseg_plugin.converters.checkpoints.conversion import Conversion, Preprocessing, Source
from openseg_plugin.converters.checkpoints.fitting import Fitted, adapt
from openseg_plugin.converters.checkpoints.keys import as_mmengine_checkpoint
from openseg_plugin.converters.checkpoints.reader import read_checkpoint, write_checkpoint
from openseg_plugin.converters.checkpoints.sources import convert, identify, is_classifier

__all__ = [
    'Conversion',
    'Fitted',
    'Preprocessing',
    'Source',
    'adapt',
    'as_mmengine_checkpoint',
    'convert',
    'identify',
    'is_classifier',
    'read_checkpoint',
    'write_checkpoint',
]
