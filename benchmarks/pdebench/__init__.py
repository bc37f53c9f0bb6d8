"""PDEBench: learn the solution operator of a partial differential equation from samples."""
