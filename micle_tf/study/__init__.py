"""Studies: the paper's protocol by one command."""
