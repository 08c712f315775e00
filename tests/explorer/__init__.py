"""Visit every order of a set of events up to a depth, with the shipped engine, two machines and one server.

The simulation draws one order for each seed; the explorer leaves none out. Begin reading in ``search``.
"""
