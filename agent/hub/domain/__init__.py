"""Records, the unit of work on a source, and the database port. No HTTP and no database here.

`model` has the records, `source_transaction` collects the changes to one source, `ports` is what a database must offer.
Begin reading with `model.py`.
"""
