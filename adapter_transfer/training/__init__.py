"""The one training loop for everything that is compared, with its batches, checkpoints and evaluation."""
