"""What exists: the tasks of the benchmarks, their data, grids and published numbers."""
