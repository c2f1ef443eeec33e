"""The comparison of arXiv 2603.05172 and related ones: error at a number of bits."""
