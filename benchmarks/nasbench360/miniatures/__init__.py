"""Writers of miniatures, one module a kind of task: the smallest valid official files, seeded."""
