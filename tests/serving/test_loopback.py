"""Listening on this machine alone; a taken port and a missing extra are told before anything is loaded."""

from __future__ import annotations

import importlib.util

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.serving.loopback import address, listen, require_installed


def test_it_listens_on_the_loopback_address_alone():
    with listen(0) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        assert port > 0
        assert address(listening) == f"http://127.0.0.1:{port}"


def test_a_taken_port_is_told():
    with listen(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use.*--port 0"):
            listen(port)
    with listen(port) as again:
        assert again.getsockname()[1] == port


def test_a_port_that_cannot_be_is_told():
    with pytest.raises(ConfigError, match="port 70000 cannot be had"):
        listen(70_000)


def test_a_missing_extra_is_told(monkeypatch):
    require_installed()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    with pytest.raises(ConfigError, match=r'gradio, which is not installed: pip install "adapter-transfer\[serve\]"'):
        require_installed()
