"""The script for `ray submit cluster.yaml runner/submit.py -- run GRID ...`.

Ray copies this one file to the head node and runs it there; everything else is installed.
"""

from runner.cli import app

if __name__ == "__main__":
    app()
