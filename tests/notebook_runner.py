"""A program that runs a notebook with a kernel of this interpreter: `notebook_runner.py NOTEBOOK FOLDER EXECUTED`.

A program of its own, because what Jupyter's packages deprecate and leave open is nothing to this project's tests.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import nbclient
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

CELL_SECONDS = 600  # for machines with more to do than this


class ThisPython(AsyncKernelManager):
    """Starts the interpreter that runs this program, whatever kernels the machine has."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="this", language="python")


async def run(notebook: Path, folder: Path, executed: Path) -> None:
    """Runs every cell in `folder` and writes the notebook with its outputs, those before an error too."""
    content = nbformat.read(notebook, as_version=4)
    kernel = ThisPython(transport="ipc", connection_file=str(executed.with_name("kernel.json")))
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(content, km=kernel, timeout=CELL_SECONDS, resources=resources)
    try:
        await client.async_execute()
    finally:
        nbformat.write(content, executed)


if __name__ == "__main__":
    asyncio.run(run(*map(Path, sys.argv[1:])))
