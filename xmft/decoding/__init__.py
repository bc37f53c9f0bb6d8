"""What tasks make of stored samples on the device, one module per kind of data.

A task's `decode` and `augment` import theirs when they are asked for: what lists and reads data
starts without torch.
"""
