"""Statistics of predictions: one method a module, plain functions on numpy arrays.

They know nothing of runs, files or TensorFlow. What is resampled is a `statistic.Statistic`.
"""
