"""Reading configs: found by path or by name, near names suggested, errors in one sentence."""

import pytest

from openseg_plugin.config.loading import load_config
from openseg_plugin.errors import ConfigError


def test_config_is_read_and_options_are_merged(tmp_path):
    (tmp_path / 'a.py').write_text('x = dict(y=1, z=[1, dict(w=2)])\n')
    cfg = load_config(str(tmp_path / 'a.py'), options={'x.y': 5, 'x.z.1.w': 6, 'new': 7})
    assert cfg.to_dict() == {'x': {'y': 5, 'z': [1, {'w': 6}]}, 'new': 7}


def test_paths_and_numbers_of_numpy_become_what_can_be_written_and_read_again(tmp_path):
    (tmp_path / 'a.py').write_text(
        '_base_ = []\nimport pathlib\nimport numpy as np\n'
        "x = dict(root=pathlib.Path('a/b'), flag=np.True_, all=[(np.int64(3), pathlib.Path('c'))])"
    )
    cfg = load_config(str(tmp_path / 'a.py'))
    assert cfg.to_dict() == {'x': {'root': 'a/b', 'flag': True, 'all': [(3, 'c')]}}
    assert type(cfg.x.flag) is bool and type(cfg.x['all'][0][0]) is int
    (tmp_path / 'again.py').write_text(cfg.pretty_text)
    assert load_config(str(tmp_path / 'again.py')).to_dict() == cfg.to_dict()


def test_config_of_the_package_is_found_by_name():
    assert load_config('ocr/hrnet48_cityscapes_80k.py').train_cfg.max_iters == 80000


@pytest.mark.parametrize(
    'wanted', ['configs/ocr/hrnet48_cityscape_80k.py', 'ocr/hrnet48_city_80k.py', 'hrnet48_80k.py']
)
def test_missing_config_suggests_near_names(wanted):
    with pytest.raises(ConfigError, match=r'(did you mean|near matches:) .*hrnet48_\w+\.py'):
        load_config(wanted)


def test_near_names_beside_the_missing_config_are_suggested(tmp_path):
    (tmp_path / 'ocr_small_80k.py').write_text('')
    with pytest.raises(ConfigError, match=r'did you mean .*/ocr_small_80k\.py\?'):
        load_config(str(tmp_path / 'ocr_smal_80k.py'))


def test_missing_config_without_near_names_says_what_is_needed(tmp_path):
    with pytest.raises(ConfigError, match=r'/no\.py '):
        load_config(str(tmp_path / 'no.py'))


def test_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='is a folder'):
        load_config(str(tmp_path))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('x = (', r'cannot be read, SyntaxError'),
        ('x = 1 / 0', r'cannot be read, ZeroDivisionError: division by zero'),
        ("_base_ = ['gone.py']", r'base that does not exist.*gone\.py'),
        ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module'),
    ],
)
def test_config_that_cannot_be_read_is_one_sentence(tmp_path, text, message):
    (tmp_path / 'a.py').write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(tmp_path / 'a.py'))


@pytest.mark.parametrize('options', [{'x.y.z': 1}, {'z.5': 1}])
def test_options_that_do_not_fit_are_refused(tmp_path, options):
    (tmp_path / 'a.py').write_text('x = dict(y=1)\nz = [1]\n')
    with pytest.raises(ConfigError, match='--cfg-options does not fit'):
        load_config(str(tmp_path / 'a.py'), options=options)


def test_config_of_the_package_is_a_base_by_its_name(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = 'openseg_plugin::ocr/hrnet48_cityscapes_80k.py'\n"
        'train_cfg = dict(max_iters=_base_.train_cfg.max_iters // 2)\n'
    )
    cfg = load_config(str(path))
    assert cfg.train_cfg.max_iters == 40000
    assert cfg.model.type == 'openseg_plugin.EncoderDecoder'
    assert '_scope_' not in cfg.dump()
    assert load_config('openseg_plugin::ocr/hrnet48_cityscapes_80k.py').train_cfg.max_iters == 80000


def test_base_of_the_package_that_does_not_exist_names_near_ones(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'openseg_plugin::ocr/hrnet48_cityscape_80k.py'\n")
    with pytest.raises(ConfigError, match=r'near matches: ocr/hrnet48_cityscapes_80k\.py'):
        load_config(str(path))


def test_config_that_exits_is_no_success(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('import sys\nsys.exit(0)\n')
    with pytest.raises(ConfigError, match=r'mine\.py calls sys\.exit'):
        load_config(str(path))


@pytest.mark.parametrize('place', ['work_dirs/ocr/hrnet18_camvid_20k', 'ocr'])
def test_copy_in_a_work_folder_does_not_hide_the_config_of_the_package(
    tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / place
    (folder / '20260101_000000' / 'vis_data').mkdir(parents=True)
    (folder / 'hrnet18_camvid_20k.py').write_text('dumped = True\n')
    assert 'dumped' not in load_config('ocr/hrnet18_camvid_20k.py')


def test_file_of_the_user_comes_before_the_config_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'ocr').mkdir()
    (tmp_path / 'ocr' / 'hrnet18_camvid_20k.py').write_text('own = True\n')
    assert load_config('ocr/hrnet18_camvid_20k.py').own
