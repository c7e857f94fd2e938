"""Answering with what was trained: from a run, a folder or the Hub to choices and their probabilities."""
