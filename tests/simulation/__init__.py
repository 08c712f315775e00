"""The real engine, executor, disk room and adapters under a seeded scheduler: a whole day in a fraction of a second."""
