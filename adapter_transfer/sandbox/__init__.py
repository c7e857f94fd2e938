"""The embedded default: a multilingual micro-world, its data sets, and tiny XLM-R scales pretrained on it.

What happens in the sandbox says nothing about XLM-R; it shows that the pipeline works.
"""

from adapter_transfer.sandbox.files import read_build, sandbox_dir, verify_sandbox

__all__ = ["read_build", "sandbox_dir", "verify_sandbox"]
