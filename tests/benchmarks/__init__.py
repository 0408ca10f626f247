"""What asdex costs, as ratios measured within one run.

`python -m tests.benchmarks` prints the table of all stages; `python -m tests.benchmarks
NAME` runs `main()` of the module `NAME` in this folder.
"""
