"""The selection: which files of a linked folder are synced, by built-in rules, patterns and ignore files.

Begin with ``rules`` (``Selection.verdict``). ``patterns`` holds ordered lists, ``glob`` translates one pattern,
``bulk_filter`` decides many names at once, ``review`` judges patterns before a person accepts them.
"""
