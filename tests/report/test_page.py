"""The page as a person uses it, opened from disk in a real browser, and what it is made of."""

import dataclasses
import json
import re

import numpy as np
import pytest
import small_set
from label_folders import CLASSES, PALETTE, write_maps
from PIL import Image

from openseg_plugin.cli.check_dataset import main as check_dataset
from openseg_plugin.report.collect import nonzero_cells
from openseg_plugin.report.compare import compare
from openseg_plugin.report.curves import Curve, Run, write_curves_page
from openseg_plugin.report.from_folders import results_from_folders
from openseg_plugin.report.page import (
    choose_images,
    most_changed,
    threshold_option,
    write_compare_page,
    write_report,
)
from openseg_plugin.report.results import Results, read_results, write_results

NAMES = [
    'plain',
    'with blank',
    '<script>window.bad=1<&script>',
    'qu"o\'te',
    'Straße 道路',
    'b&amp;c',
]
HOSTILE = ('road</script><script>window.bad=1</script>', 'car"\'>', 'Straße', '道路')


def _results(root, names, *, classes=CLASSES, seed=0, calibrated=True) -> Results:
    pred, gt, img = write_maps(root, names, seed=seed)
    results = results_from_folders(pred, gt, images=img, classes=classes, palette=PALETTE)
    if not calibrated:
        return results
    rng, images = np.random.default_rng(0), []
    for image in results.images:
        pixels = rng.integers(1, 50, (2, 20))
        units = pixels * np.arange(250, 10_000, 500)
        counts = dataclasses.replace(
            image.counts,
            confidence=np.stack([pixels, units], axis=1),
            foreground=rng.integers(1, 50, (2, 100)),
            distance_before=image.counts.distance[1] + 1,
            seconds=0.5,
        )
        images.append(dataclasses.replace(image, counts=counts))
    return dataclasses.replace(results, images=tuple(images), protocol={'config': '<b>x</b>.py'})


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """A report of six images with names that try to break it."""
    root = tmp_path_factory.mktemp('a "report" <1> & ü')
    results = _results(root, NAMES, classes=HOSTILE)
    write_results(root, results)
    assert write_report(root, results) == []
    return root / 'index.html'


def _shown(browser) -> list[str]:
    return [one.text for one in browser.all('#gallery .name')]


def test_page_opens_without_complaints_and_names_stay_text(page, browser):
    browser.open(page)
    browser.until('return document.querySelectorAll("#gallery img").length === 6')
    assert sorted(_shown(browser)) == sorted(NAMES)
    assert browser.run('return window.bad') is None
    assert browser.one('#classes tbody th').text.strip() in HOSTILE
    browser.until('return [...document.images].every((one) => one.complete)')
    assert browser.run('return [...document.images].every((one) => one.naturalWidth > 0)')
    assert browser.complaints() == []


def test_a_cell_opens_the_images_with_most_of_its_pixels_and_draws_just_those(page, browser):
    browser.open(page)
    cells = json.loads(
        browser.run(
            'return JSON.stringify(OPENSEG_DATA.images.map((one) => [one.name, one.runs[0].cells]))'
        )
    )
    truth, predicted = 2, 1
    pixels = {}
    for name, flat in cells:
        table = {(t, p): n for t, p, n in zip(flat[::3], flat[1::3], flat[2::3])}
        if (truth, predicted) in table:
            pixels[name] = table[truth, predicted]
    expected = sorted(pixels, key=lambda name: -pixels[name])
    browser.one(f'[data-truth="{truth}"][data-predicted="{predicted}"]').click()
    browser.until('return document.querySelectorAll("#cell-gallery canvas[data-ready]").length')
    found = [one.text for one in browser.all('#cell-gallery .name')]
    assert [pixels[name] for name in found] == [pixels[name] for name in expected]
    drawn = browser.until(
        """
        const all = [...document.querySelectorAll('#cell-gallery canvas')];
        if (!all.every((one) => one.dataset.ready)) return null;
        const {width, height} = all[0];
        const data = all[0].getContext('2d').getImageData(0, 0, width, height).data;
        let count = 0;
        for (let i = 0; i < data.length; i += 4)
          count += data[i] === 255 && data[i + 1] === 64 && data[i + 2] === 160;
        return count;"""
    )
    assert drawn == pixels[expected[0]]
    assert browser.complaints() == []


def test_table_sorts_by_number_and_by_name(page, browser):
    browser.open(page)
    column = (
        'return [...document.querySelectorAll("#classes tbody tr")]'
        '.map((row) => row.cells[1].dataset.value * 1)'
    )
    heads = browser.all('#classes .sort')
    heads[1].click()
    values = browser.run(column)
    assert values == sorted(values, reverse=True)
    heads[1].click()
    assert browser.run(column) == sorted(values)
    assert browser.all('#classes thead th')[1].get_attribute('aria-sort') == 'ascending'
    heads[0].click()
    names = [one.text for one in browser.all('#classes tbody th')]
    assert names == browser.run('return arguments[0].sort((a, b) => a.localeCompare(b))', names)


def test_images_are_ranked_and_filtered_by_class_and_name(page, browser):
    browser.open(page)
    values = [float(one.text.split()[0]) for one in browser.all('#gallery .value')]
    assert values == sorted(values)
    browser.set_value('#name-filter', 'straß')
    assert _shown(browser) == ['Straße 道路']
    browser.set_value('#name-filter', 'no such image')
    assert _shown(browser) == []
    assert browser.one('#found').text == '0 of 6 images'
    browser.set_value('#name-filter', '')
    browser.all('#classes [data-class]')[1].click()
    assert 'IoU of the chosen class' in browser.run(
        'return document.querySelector("#rank").selectedOptions[0].textContent'
    )


def _pixel(browser, panel: int, x: int, y: int) -> list[int]:
    return browser.run(
        'const c = document.querySelectorAll(".stage canvas")[arguments[0]];'
        'const d = c.getContext("2d").getImageData(arguments[1], arguments[2], 1, 1).data;'
        'return [d[0], d[1], d[2]]',
        panel,
        x,
        y,
    )


def test_viewer_draws_legend_colors_and_the_slider_shows_the_image(page, browser):
    browser.open(page)
    browser.one('#gallery .card').click()
    browser.until('return document.querySelector("#viewer").dataset.shown')
    browser.run('for (const id of ["outlines", "names"]) document.getElementById(id).click()')
    # the corner of the prediction is class 1 by construction
    assert _pixel(browser, 2, 1, 1) == list(PALETTE[1])
    browser.set_value('#opacity', 0)
    assert _pixel(browser, 2, 1, 1) == _pixel(browser, 0, 1, 1)
    browser.set_value('#opacity', 0.5)
    half = [(a + b) / 2 for a, b in zip(_pixel(browser, 0, 1, 1), PALETTE[1])]
    assert np.abs(np.array(_pixel(browser, 2, 1, 1)) - half).max() <= 2


def test_viewer_reads_classes_under_the_pointer_zooms_and_turns_pages_by_keys(page, browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    browser.one('#gallery .card').click()
    first = browser.until('return document.querySelector("#viewer").dataset.shown')
    stage = browser.all('.stage')[2]
    size = stage.size
    corner = (-size['width'] // 2 + 8, -size['height'] // 2 + 8)
    ActionChains(browser.driver).move_to_element_with_offset(stage, *corner).perform()
    text = browser.until(
        'const text = document.getElementById("probe").textContent;'
        'return text.includes("ground truth") && text'
    )
    assert HOSTILE[1] in text
    stage.send_keys(Keys.ARROW_RIGHT)
    assert browser.one('#probe').text != text
    stage.send_keys('+')
    assert browser.one('#zoom').text == '150 %'
    stage.send_keys('0')
    assert browser.one('#zoom').text == '100 %'
    stage.send_keys('n')
    browser.until('return document.querySelector("#viewer").dataset.shown !== arguments[0]', first)
    # to the page, not to a stage, which may be drawn anew between finding it and writing to it
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until('return !document.querySelector("#viewer").open')
    assert browser.complaints() == []


def test_viewer_survives_input_while_it_loads_and_on_an_image_that_is_not_drawn(tmp_path, browser):
    write_report(tmp_path, _results(tmp_path, ['a', 'b']), max_images=1)
    browser.open(tmp_path / 'index.html')
    drawn, other = browser.run('return OPENSEG_DATA.images[0].drawn ? [0, 1] : [1, 0]')
    browser.one(f'.card[data-id="{drawn}"]').click()
    browser.until('return document.querySelector("#viewer").dataset.shown')
    browser.one('#opacity').send_keys('+')  # keys keep working after a slider was moved
    assert browser.one('#zoom').text == '150 %'
    browser.run(
        """
        const stage = document.querySelector('.stage'), {left, top} = stage.getBoundingClientRect();
        const place = {clientX: left + 20, clientY: top + 20, cancelable: true};
        for (const id of ['next', 'previous']) document.getElementById(id).click();
        stage.dispatchEvent(new PointerEvent('pointermove', place));
        stage.dispatchEvent(new WheelEvent('wheel', {deltaY: -50, ...place}));
        stage.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}));"""
    )
    browser.until('return document.querySelector("#viewer").dataset.shown')
    browser.one('#close').click()
    browser.one(f'.card[data-id="{other}"]').click()
    browser.one('#zoom-in').click()
    assert 'not drawn' in browser.one('#panels').text
    assert browser.all('.legend li') == []
    assert browser.complaints() == []


def test_names_in_the_viewer_do_not_meet_and_are_left_out_where_they_do_not_fit(page, browser):
    browser.open(page)
    browser.one('#gallery .card').click()
    browser.until('return document.querySelector("#viewer").dataset.shown')
    drawn = browser.run(
        """
        const one = CanvasRenderingContext2D.prototype, old = one.fillText, found = new Map();
        one.fillText = function (text, x, y) {
          const half = this.measureText(text).width / 2;
          if (!found.has(this.canvas)) found.set(this.canvas, []);
          found.get(this.canvas).push([text, x - half, x + half, y]);
          return old.apply(this, arguments);
        };
        document.getElementById('opacity').dispatchEvent(new Event('input'));
        one.fillText = old;
        return [...found.values()];"""
    )
    assert drawn
    for names in drawn:
        assert HOSTILE[0] not in [name for name, *_ in names]
        for i, (_, left, right, y) in enumerate(names):
            for _, other_left, other_right, other_y in names[:i]:
                assert right <= other_left or other_right <= left or abs(y - other_y) > 5


def test_matrix_is_left_by_tab_and_walked_by_arrows(page, browser):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    assert len(browser.all('.matrix [tabindex="0"]')) == 1
    browser.one('.matrix [tabindex="0"]').send_keys(Keys.ARROW_DOWN)
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute('data-truth') == '1'
    focused.send_keys(Keys.ENTER)
    assert browser.one('#cell-images').is_displayed()


def test_page_fits_a_sheet_and_is_printed_in_light_colors(page, browser):
    media, size = 'Emulation.setEmulatedMedia', 'Emulation.setDeviceMetricsOverride'
    browser.open(page)
    browser.one('#theme').click()  # dark, as the light one is that of the system
    cell = 'return getComputedStyle(document.querySelector(".matrix button").parentNode).background'
    dark = browser.run(cell)
    try:
        sheet = dict(width=718, height=1000, deviceScaleFactor=1, mobile=False)
        browser.driver.execute_cdp_cmd(size, sheet)
        browser.driver.execute_cdp_cmd(media, {'media': 'print'})
        browser.run('window.dispatchEvent(new Event("beforeprint"))')
        style = 'return getComputedStyle(document.body).backgroundColor'
        assert browser.run(style) == 'rgb(255, 255, 255)'
        assert browser.run(cell) != dark
        assert browser.run('return document.documentElement.scrollWidth') <= 718
        assert browser.run(
            'return [...document.querySelectorAll(".wide")].every((one) =>'
            ' getComputedStyle(one).overflow === "visible" && one.scrollWidth <= one.clientWidth)'
        )
        assert browser.all('img[loading=lazy]') == []
        browser.run('window.dispatchEvent(new Event("afterprint"))')
        assert browser.run(cell) == dark
    finally:
        browser.driver.execute_cdp_cmd(media, {'media': ''})
        browser.driver.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


def _comparison(page, root):
    results = read_results(page.parent)
    found = compare([('first <1>', results), ('道路', results)], resamples=10)
    write_compare_page(root, found, command='openseg report a b')


def _curves(page, root):
    steps = np.arange(10.0, 1010.0, 10.0)
    runs = [Run(name, {'loss': Curve(steps, 1 / steps)}, [500], [20]) for name in ('a', 'b')]
    write_curves_page(root, runs, command='openseg curves a b')


def _checked(page, root):
    data = small_set.write(root / 'data')
    small_set.change(data, lambda label: np.where(label == 1, 77, label).astype(np.uint8))
    words = ['--classes', *small_set.CLASSES, '--cache', root / 'cache', '--report', root]
    assert check_dataset([str(word) for word in (data, *words)]) == 1


def _browsed(page, root):
    import toy_run

    from openseg_plugin.cli.browse_dataset import main

    config = toy_run.toy_config(root, toy_run.write_data(root / 'data', number=2))
    assert main([str(config), '--num', '2', '--out', str(root)]) == 0


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('write', [None, _comparison, _curves, _checked, _browsed])
def test_page_is_accessible(page, browser, axe, theme, write, tmp_path):
    if write is not None:
        write(page, tmp_path)
        page = tmp_path / 'index.html'
    browser.open(page)
    browser.run(f'document.documentElement.dataset.theme = "{theme}"')
    browser.run('document.dispatchEvent(new Event("theme"))')
    for part in ('page', 'viewer') if browser.all('#gallery .card') else ('page',):
        if part == 'viewer':
            browser.one('#gallery .card').click()
            browser.until('return document.querySelector("#viewer").dataset.shown')
        browser.run(axe)
        found = browser.driver.execute_async_script(
            'const done = arguments[0]; axe.run().then((r) => done(r.violations.map('
            '(v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html).join(" | "))))'
        )
        assert found == [], part


def test_no_image_at_all_and_one_are_pages_too(tmp_path, browser):
    one = _results(tmp_path / 'one', ['a'])
    none = dataclasses.replace(one, images=())
    for name, results, number in (('none', none, 0), ('one', one, 1)):
        write_results(tmp_path / name, results)
        write_report(tmp_path / name, results)
        browser.open(tmp_path / name / 'index.html')
        assert len(browser.all('#gallery li')) == number
        assert browser.complaints() == []


def test_two_thousand_images_open_at_once_and_are_shown_in_steps(tmp_path, browser):
    one = _results(tmp_path, ['a']).images[0]
    images = tuple(dataclasses.replace(one, name=f'image {i:04}') for i in range(2000))
    results = Results(CLASSES, PALETTE, 255, images)
    write_results(tmp_path, results)
    write_report(tmp_path, results, max_images=20)
    browser.open(tmp_path / 'index.html')
    assert len(browser.all('#gallery li')) == 60
    browser.run('document.getElementById("more").click()')
    assert len(browser.all('#gallery li')) == 120
    assert browser.one('#found').text == '2,000 of 2,000 images'
    assert browser.complaints() == []


def test_compared_runs_are_wiped_over_one_another(tmp_path, browser):
    first = _results(tmp_path / 'x', NAMES)
    second = _results(tmp_path / 'y', NAMES)
    better = dataclasses.replace(
        second,
        images=tuple(dataclasses.replace(one, prediction=one.label) for one in second.images),
    )
    found = compare([('first <1>', first), ('second', better)], resamples=20)
    assert write_compare_page(tmp_path / 'out', found) == []
    browser.open(tmp_path / 'out' / 'index.html')
    browser.one('#gallery .card').click()
    browser.until('return document.querySelector("#viewer").dataset.shown')
    clip = (
        'return document.querySelectorAll(".stage")[2].querySelectorAll("canvas")[0].style.clipPath'
    )
    assert '50%' in browser.run(clip)
    browser.set_value('#wipe', 20)
    assert '80%' in browser.run(clip)
    assert browser.complaints() == []


def test_curves_open_without_complaints_whatever_the_run_is_called(tmp_path, browser):
    steps = np.arange(10.0, 1010.0, 10.0)
    curves = {'loss': Curve(steps, 1 / steps), 'mIoU': Curve(steps[::50], steps[::50])}
    write_curves_page(tmp_path, [Run('<script>window.bad=1</script>', curves, [500], [20])])
    browser.open(tmp_path / 'index.html')
    assert len(browser.all('.chart svg[role=img]')) == 2
    browser.all('#best .sort')[2].click()
    assert browser.run('return window.bad') is None
    assert browser.complaints() == []


def test_files_that_are_gone_are_reported_and_the_page_is_written(tmp_path):
    results = _results(tmp_path, ['a', 'b'])
    results.images[0].image.unlink()
    results.images[1].prediction.write_bytes(b'')
    problems = write_report(tmp_path, results)
    assert len(problems) == 2
    assert problems[0].startswith('1 of 2 images is missing')
    assert 'img/a.png' in problems[0]
    assert 'pred/b.png' in problems[1]
    assert 'img/a.png' in (tmp_path / 'index.html').read_text(encoding='utf-8')


def test_page_names_no_address_but_its_own_files(page):
    for path in (page, *(page.parent / 'assets').iterdir()):
        text = path.read_text(encoding='utf-8')
        assert not re.search(r'(https?:)?//[a-z]', re.sub(r'//\s.*', '', text)), path.name


def test_a_folder_keeps_to_its_size(tmp_path):
    rng = np.random.default_rng(0)
    results = _results(tmp_path / 'data', [f'{i}' for i in range(6)], calibrated=False)
    import cv2

    images = []
    for one in results.images:  # noise of 600 x 800 compresses badly
        for path in (one.image, one.label, one.prediction):
            content = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(path), cv2.resize(content, (800, 600), interpolation=cv2.INTER_NEAREST))
        noise = rng.integers(0, 256, (600, 800, 3)).astype(np.uint8)
        cv2.imwrite(str(one.image), noise)
        images.append(dataclasses.replace(one, size=(600, 800)))
    results = dataclasses.replace(results, images=tuple(images))
    out = tmp_path / 'out'
    write_results(out, results)
    images = [dataclasses.replace(one, name=one.name + 5000 * 'x') for one in results.images]
    results = dataclasses.replace(results, images=tuple(images))  # the page itself is large
    others = out / 'checkpoints' / 'of_another_command.pth'
    others.parent.mkdir()
    others.write_bytes(bytes(900_000))
    (problem,) = write_report(out, results, max_bytes=200_000)
    assert '6 of 6 images' in problem and '--max-mb' in problem
    assert write_report(out, results, max_bytes=900_000) == []
    others.unlink()
    size = sum(path.stat().st_size for path in out.rglob('*') if path.is_file())
    assert 600_000 < size <= 900_000
    assert len(list((out / 'samples').iterdir())) == 6


def test_a_small_confusion_is_drawn_in_a_shrunk_image_and_the_scale_is_said(tmp_path, browser):
    label = np.zeros((500, 1000), np.uint8)
    label[:, 500:] = 1
    prediction = label.copy()
    prediction[250:, 100:400] = 1  # 300 rows of the frequent confusion
    prediction[301, 201] = 2  # a rare one in the midst of it
    prediction[101, 701] = 3  # and one alone
    for name, ids in (('gt', label), ('pred', prediction)):
        (tmp_path / name).mkdir()
        Image.fromarray(ids).save(tmp_path / name / 'a.png')
    results = results_from_folders(tmp_path / 'pred', tmp_path / 'gt', classes=CLASSES)
    out = tmp_path / 'out'
    write_report(out, results, max_bytes=1)
    browser.open(out / 'index.html')
    for truth, predicted in ((0, 2), (1, 3)):
        browser.one(f'[data-truth="{truth}"][data-predicted="{predicted}"]').click()
        text = browser.until(
            """
            const all = [...document.querySelectorAll('#cell-gallery canvas')];
            if (!all.length || !all.every((one) => one.dataset.ready)) return null;
            const {width, height} = all[0];
            const data = all[0].getContext('2d').getImageData(0, 0, width, height).data;
            let count = 0;
            for (let i = 0; i < data.length; i += 4) count += data[i] === 255 && data[i + 1] === 64;
            return count === 1 && all[0].parentNode.textContent;"""
        )
        assert 'drawn at 10 %' in text
    # a pixel of a large image gets a halo that can be seen on a card
    write_report(out, results)
    browser.open(out / 'index.html')
    browser.one('[data-truth="1"][data-predicted="3"]').click()
    browser.until('return document.querySelector("#cell-gallery canvas[data-ready]")')
    color = browser.run(
        'const c = document.querySelector("#cell-gallery canvas").getContext("2d");'
        'const row = c.getImageData(0, 101, 1000, 1).data;'
        'return [701, 704, 750].map((x) => [...row.slice(4 * x, 4 * x + 3)])'
    )
    assert color[0] == [255, 64, 160]
    assert 128 <= color[1][0] < 255 and color[2][0] < 100
    assert browser.complaints() == []


def test_only_so_many_images_are_drawn_the_worst_and_those_behind_large_errors(tmp_path):
    results = _results(tmp_path, [f'{i}' for i in range(8)], calibrated=False)
    confusion = results.images[5].counts.confusion.copy()
    confusion[3, 0] += 5000  # by far the largest error
    counts = dataclasses.replace(results.images[5].counts, cells=nonzero_cells(confusion))
    images = list(results.images)
    images[5] = dataclasses.replace(images[5], counts=counts)
    results = dataclasses.replace(results, images=tuple(images))
    drawn = choose_images(results, 4)
    assert len(drawn) == 4
    assert 5 in drawn
    assert choose_images(results, 8) == set(range(8))


def test_images_that_changed_most_in_any_test_are_drawn_and_ranked_by_each(tmp_path, browser):
    first = _results(tmp_path / 'a', [f'{i}' for i in range(4)], calibrated=False)

    def better(index: int) -> Results:
        images = list(first.images)
        diagonal = np.diag(images[index].counts.confusion.sum(axis=1))
        cells = nonzero_cells(np.pad(diagonal, ((0, 0), (0, 1))))
        counts = dataclasses.replace(images[index].counts, cells=cells)
        images[index] = dataclasses.replace(images[index], counts=counts)
        return dataclasses.replace(first, images=tuple(images))

    runs = [('a', first), ('b', better(2)), ('c', better(1))]
    assert most_changed([run for _, run in runs], 2) == {1, 2}
    command = 'openseg report a b c --names <x>'
    write_compare_page(tmp_path / 'out', compare(runs, resamples=10), command=command)
    browser.open(tmp_path / 'out' / 'index.html')
    assert command in browser.one('#settings').text
    orders = browser.run('return [...document.querySelectorAll("#rank option")].map((o) => o.text)')
    for run, best in (('b', '2'), ('c', '1')):
        browser.set_value('#rank', orders.index(f'mean IoU of {run}: largest gain first'))
        assert _shown(browser)[0] == best
        browser.one('#gallery .card').click()
        assert (
            browser.run('return document.querySelector("#right-run").selectedOptions[0].text')
            == run
        )
        browser.one('#close').click()
    assert browser.complaints() == []


def test_exported_file_has_no_option_for_its_threshold():
    exported = {'model.type': 'openseg_plugin.ExportedSegmentor', 'model.file': 'a.onnx'}
    assert threshold_option(exported) is None
    assert threshold_option({'model.type': 'EncoderDecoder'}) == 'model.decode_head.threshold'
