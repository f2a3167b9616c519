"""Random statistics for normalization layers, so that a test sees one that is left out."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def shuffle_norms(module: nn.Module) -> nn.Module:
    """Give every BatchNorm below ``module`` random statistics and weights; returns ``module``."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.1)
    return module
