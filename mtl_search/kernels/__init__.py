"""Kernels in C for what takes the time of training on a processor: banks of primitives, and norms.

They compute what torch's operations do, in fewer passes over memory. Where there is no C compiler, torch does it.
"""
