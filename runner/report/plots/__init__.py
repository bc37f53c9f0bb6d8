"""Plots of leaderboards and of the cells behind them, as PNG and SVG."""
