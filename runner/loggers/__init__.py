"""Places beside the ledger that people look at runs in: TensorBoard, MLflow, Weights & Biases.

TensorBoard's files are written by the process that trains, epoch by epoch. All others are told of
cells that are finished, and read them from the ledger, in a process of its own (`scribe` has the
driver's end of it, `writer` is the process): they cannot slow a cell down, fail it or change its
numbers, they have each cell once however often it was begun, and what they could not be told is
made up for by the next run.
"""
