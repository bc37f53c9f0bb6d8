"""Writers of miniatures: the smallest valid files in the official formats, seeded."""
