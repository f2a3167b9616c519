"""Data checks: validate the labels of a dataset, every one of them.

They never write into the data. ``dataset_spec`` says what is checked, ``file_facts`` reads one
file, ``examine`` all of them, ``rules`` judge, ``report`` shows; ``config_adapter`` and
``folder_adapter`` make the spec from a config or a folder.
"""
