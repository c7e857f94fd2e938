"""From finished runs to a package that others can load: which adapters, what is said of them, the model card."""
