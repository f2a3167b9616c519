"""The tables of published files in the READMEs are those of the entries."""

import re

import pytest
from in_one_test import in_one_test

from openseg_plugin.cli.weights import main
from openseg_plugin.errors import ConfigError
from openseg_plugin.model_zoo import tables
from openseg_plugin.model_zoo.entries import entries
from openseg_plugin.paths import configs_root

TEXTS = tables.texts()


def where(path) -> str:
    return path.parent.name


@in_one_test('path', TEXTS, ids=where)
def test_readme_says_what_the_entries_say(path):
    assert path.read_text(encoding='utf-8') == TEXTS[path], 'run tools/model_zoo.py tables'


def test_every_method_with_published_files_has_a_table_of_all_of_them():
    assert set(tables.methods()) == {entry.method for entry in entries()}
    for method in tables.methods():
        text = TEXTS[configs_root() / method / 'README.md']
        own = [entry for entry in entries() if entry.method == method]
        assert own
        for entry in own:
            (line,) = [x for x in text.splitlines() if f'`get {entry.name}`' in x]
            assert entry.file in line
            assert entry.miou is None or f' {entry.miou:.2f} ' in line


@in_one_test('path', TEXTS, ids=where)
def test_links_to_configs_and_pages_lead_to_files(path):
    links = re.findall(r'\]\(([^):]+\.(?:py|md))\)', TEXTS[path])
    assert links
    assert [link for link in links if not (path.parent / link).is_file()] == []


def test_readme_lists_every_method():
    folders = {path.parent.name for path in configs_root().glob('*/README.md')}
    text = TEXTS[configs_root().parent / 'README.md']
    assert set(re.findall(r'\(configs/(\w+)/README\.md\) \|', text)) == folders


def test_files_with_two_metrics_have_a_column_of_both():
    lines = TEXTS[configs_root() / 'base_oc' / 'README.md'].splitlines()
    (header,) = [line for line in lines if line.startswith('| file |')]
    place = header.split(' | ').index('pixAcc/mIoU: val (crop); val')
    found = {line.split('`get ')[1].split('`')[0]: line.split(' | ')[place]
             for line in lines if '`get ' in line}  # fmt: skip
    assert found == {
        'openseg_base_oc_r101_cityscapes': '-',
        'pytorch_cv_ocnet_base_resnet101_voc': '94.91/80.33; 94.86/79.07',
        'pytorch_cv_ocnet_base_resnet101_citys': '96.30/74.18; -',
    }
    assert 'val (crop)' not in TEXTS[configs_root() / 'isa' / 'README.md']


def test_every_mark_in_a_readme_is_filled_or_has_no_entries():
    marks = {
        (path.parent.name, method)
        for path in configs_root().glob('*/README.md')
        for method in re.findall(r'<!-- zoo:(\w+) -->', path.read_text(encoding='utf-8'))
    }
    assert all(folder == method for folder, method in marks)
    assert set(tables.methods()) <= {method for _, method in marks}


def test_command_says_that_there_is_nothing_to_do(capsys):
    main(['tables'])
    assert capsys.readouterr().out == 'all tables are up to date\n'


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    path = tmp_path / 'README.md'
    path.write_text('# A\n<!-- zoo:a -->\nold\n<!-- /zoo -->\nend\n')
    new = tables._filled(path, '<!-- zoo:a -->', '| x |\n')
    assert new == '# A\n<!-- zoo:a -->\n\n| x |\n\n<!-- /zoo -->\nend\n'
    path.write_text(new)
    assert tables._filled(path, '<!-- zoo:a -->', '| x |\n') == new


def test_readme_without_a_place_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'README\.md .*<!-- zoo:a'):
        tables._filled(tmp_path / 'README.md', '<!-- zoo:a -->', '')
    (tmp_path / 'README.md').write_text('<!-- zoo:a -->\n')
    with pytest.raises(ConfigError, match=r'README\.md needs the lines'):
        tables._filled(tmp_path / 'README.md', '<!-- zoo:a -->', '')
