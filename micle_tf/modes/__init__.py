"""What --mode may say, a file each; `opening` has the steps that several of them take."""
