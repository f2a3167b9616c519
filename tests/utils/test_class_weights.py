"""Class weights from a file: three formats, and one sentence for everything else."""

import json
import pickle

import numpy as np
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss
from openseg_plugin.utils.class_weights import read_class_weights

WEIGHTS = [0.5, 2.0, 1.25]


def write(path):
    if path.suffix == '.json':
        path.write_text(json.dumps(WEIGHTS))
    elif path.suffix == '.txt':
        path.write_text('0.5, 2\n1.25\n')
    else:
        np.save(path, np.array(WEIGHTS, np.float32))
    return path


@in_one_test('name', ['w.json', 'w.txt', 'w.npy'])
@in_one_test('loss', [CrossEntropyLoss, OHEMCrossEntropyLoss])
def test_losses_read_their_class_weights_from_a_file(tmp_path, name, loss):
    path = write(tmp_path / name)
    assert read_class_weights(path) == WEIGHTS
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    found = loss(class_weight=str(path))(logits, labels)
    torch.testing.assert_close(found, loss(class_weight=WEIGHTS)(logits, labels))


@in_one_test(
    ('name', 'content', 'said'),
    [
        ('w.json', '{"road": 1}', 'list of numbers'),
        ('w.json', '[1, "x"]', 'list of numbers'),
        ('w.json', '[1, 2', 'list of numbers'),
        ('w.json', '[]', 'list of numbers'),
        ('w.txt', '1 two', 'list of numbers'),
        ('w.txt', '1 -2', 'weight -2'),
        ('w.txt', '1 nan', 'weight nan'),
        ('w.npy', 'no array', 'list of numbers'),
        ('w.yaml', '- 1', r'\.json, \.txt, \.npy'),
    ],
)
def test_what_is_no_weight_is_refused_by_the_name_of_the_file(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=rf'{name}.*{said}'):
        read_class_weights(tmp_path / name)


def test_pickled_arrays_are_never_read(tmp_path):
    ran = tmp_path / 'ran'

    class Evil:
        def __reduce__(self):
            return ran.write_text, ('',)

    np.save(tmp_path / 'objects.npy', np.array([Evil()], object), allow_pickle=True)
    (tmp_path / 'pickle.npy').write_bytes(pickle.dumps(Evil()))
    for name in ('objects.npy', 'pickle.npy'):
        with pytest.raises(ConfigError, match=name):
            read_class_weights(tmp_path / name)
    assert not ran.exists()


def test_missing_file_and_wrong_number_are_said(tmp_path):
    with pytest.raises(ConfigError, match=r'w\.txt, but there is no such file'):
        read_class_weights(tmp_path / 'w.txt')
    loss = CrossEntropyLoss(class_weight=str(write(tmp_path / 'w.txt')))
    with pytest.raises(ConfigError, match='class_weight has 3 numbers'):
        loss(torch.zeros(1, 5, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
