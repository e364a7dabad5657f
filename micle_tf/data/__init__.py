"""From a dataset to batches: cases, random access, sampling, decoding, augmentation."""
