"""Studies: several ways to a model, each trained from several seeds and judged alike.

What is asked stands in a file; which runs that takes, and how each is called, follows from it.
"""
