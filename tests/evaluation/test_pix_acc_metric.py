import pytest
import torch

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.iou_metric import PixAccMetric

LABEL = torch.tensor([[0, 0], [1, 255]])


def evaluate(prediction, scores=None, **options):
    metric = PixAccMetric(collect_device='cpu', **options)
    metric.dataset_meta = {'classes': ('a', 'b', 'c')}
    sample = {'pred_sem_seg': {'data': prediction[None]}, 'gt_sem_seg': {'data': LABEL[None]}}
    if scores is not None:
        sample['seg_logits'] = {'data': scores}
    metric.process({}, [sample])
    return metric.evaluate(1)


def test_classes_that_do_not_occur_count_as_zero_and_ignored_pixels_not_at_all():
    prediction = torch.tensor([[0, 1], [1, 2]])
    # intersections 1, 1, 0; unions 2, 2, 0
    assert evaluate(prediction) == {'pixAcc': 66.67, 'mIoU': 33.33}


def test_truncated_scores_give_ties_to_the_first_class():
    scores = torch.zeros(3, 2, 2)
    scores[1] = 0.9  # 0 like all others, once it is cut
    prediction = scores.argmax(0)
    assert evaluate(prediction, scores, truncate_scores=True)['pixAcc'] == 66.67
    assert evaluate(prediction, scores, truncate_scores=False)['pixAcc'] == 33.33


def test_truncated_scores_are_asked_for_where_they_are_missing():
    with pytest.raises(ConfigError, match='seg_logits'):
        evaluate(torch.zeros(2, 2).long(), truncate_scores=True)
