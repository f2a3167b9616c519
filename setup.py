"""The package, and the config tree installed as it is under ``openseg_plugin/configs``.

Everything else is in ``setup.cfg``, which cannot list found packages and a mapped one together.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['openseg_plugin*']), 'openseg_plugin.configs'],
    package_dir={'openseg_plugin.configs': 'configs'},
    package_data={
        'openseg_plugin': [
            'py.typed',
            *(f'**/*.{end}' for end in ('json', 'jinja', 'css', 'js', 'txt')),
        ],
        'openseg_plugin.configs': ['**/*.py', '**/*.md'],
    },
)
