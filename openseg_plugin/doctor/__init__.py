"""The label doctor: reads every label of a data set and names what would spoil a training.

It never writes into the data. ``source`` says what is looked at, ``reading`` looks at one file,
``examine`` at all of them, ``findings`` and its sisters judge, ``table`` and ``page`` show.
"""
