"""mmengine's classes for sharded training are there as ever, and cost nothing until then."""

import subprocess
import sys

STARTED = """
import sys
import openseg_plugin, mmengine.runner, mmengine.model, mmengine.optim
from mmengine import registry

assert 'torch.distributed.fsdp' not in sys.modules, 'imported at once'
assert registry.MODEL_WRAPPERS.get('MMFullyShardedDataParallel') is not None
assert not mmengine.model.is_model_wrapper(object())
"""
DERIVED = """
from mmengine.model import MMFullyShardedDataParallel as waiting

class Derived(waiting):
    pass

from torch.distributed.fsdp import FullyShardedDataParallel
found = registry.MODEL_WRAPPERS.get('MMFullyShardedDataParallel')
assert issubclass(found, FullyShardedDataParallel) and issubclass(Derived, found)
assert issubclass(Derived, waiting) and not isinstance(object(), waiting)
assert waiting.__name__ == found.__name__ == 'MMFullyShardedDataParallel'
"""
BUILT = """
import torch
store = torch.distributed.HashStore()
torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
parameters = [torch.nn.Parameter(torch.ones(3))]
config = dict(type='ZeroRedundancyOptimizer', params=parameters, optimizer_type='SGD', lr=0.5)
optimizer = registry.OPTIMIZERS.build(config)
parameters[0].grad = torch.ones(3)
optimizer.step()
assert parameters[0].tolist() == [0.5, 0.5, 0.5]
assert isinstance(optimizer, mmengine.optim.ZeroRedundancyOptimizer)
# the group's threads end before the interpreter does, which else may abort
del optimizer
torch.distributed.destroy_process_group()
del store
"""
OTHER_NAMES = """
import importlib
module = importlib.import_module('mmengine._strategy.fsdp')
assert module.FullStateDictConfig is __import__('torch').distributed.fsdp.FullStateDictConfig
assert module.FSDPStrategy is registry.STRATEGIES.get('FSDPStrategy')
"""


def ends_well(*parts: str) -> None:
    """Runs the parts in a process of their own, in which nothing was imported before."""
    run = subprocess.run([sys.executable, '-c', ''.join(parts)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_class_can_be_derived_from_and_is_the_registered_one():
    ends_well(STARTED, DERIVED)


def test_optimizer_is_built_by_its_name_and_takes_a_step():
    ends_well(STARTED, BUILT)


def test_other_names_of_the_modules_are_there():
    ends_well(STARTED, OTHER_NAMES)
