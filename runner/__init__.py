"""Decides what to run and where, and writes down what happened."""
