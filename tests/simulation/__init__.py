"""The real engine, executor, disk code and adapters under a seeded scheduler: a day takes a fraction of a second."""
