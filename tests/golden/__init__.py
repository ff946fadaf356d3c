"""Some 500 pairs of made pictures with the verdict of today's matcher on each: what moves is seen.

``pictures.py`` makes the pictures, ``pairs.py`` says which are compared, ``steady.py`` which of them are too near a
cut-off to be told alike by every processor, ``judge.py`` compares. ``python -m tests.golden`` makes ``verdicts.csv``
anew.
"""
