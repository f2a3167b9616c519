"""``stock_predict.py CONFIG CHECKPOINT FOLDER OUT DEVICE``: mmseg's own inferencer on a folder."""

import sys

from mmseg.apis import MMSegInferencer

if __name__ == '__main__':
    config, checkpoint, folder, out, device = sys.argv[1:]
    inferencer = MMSegInferencer(config, checkpoint, device=device)
    inferencer(folder, out_dir=out, pred_out_dir='labels', img_out_dir='')
