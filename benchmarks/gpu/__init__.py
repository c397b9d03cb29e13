"""What `benchmarks/gpu_check` consists of: one part, one process, one time limit.

    command    the command line, from the options to the exit status
    checkout   makes `dep` importable where it is not installed
    schedule   runs the parts, each in a process of its own; none can stop the others
    report     the JSON document, rewritten as results come, and the table
    parts      which parts there are, and their share of the time

In a part's process:

    worker     calls the part's function with a `Context`
    context    takes results down, line by line, so that a crash loses none
    timing     medians on the device's clock, and what the card copies at best
    floors     bytes that kernels must move, multiplications that a network must do

The command's own process uses the standard library alone: what is broken on a machine
breaks the part that needs it.
"""
