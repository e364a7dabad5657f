"""tfds builders that package datasets as grouped cases."""
