"""The transformers, one file each; what they share is in `_base`."""
