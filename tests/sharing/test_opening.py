"""A folder is looked at before it is read, and fitted before it is handed out."""

from __future__ import annotations

import pytest
from plain_files import put_adapter

from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.fit import MisfitError
from adapter_transfer.sharing.listing import UnsafePackageError
from adapter_transfer.sharing.opening import look_into, open_package


@pytest.mark.parametrize("opened", [look_into, open_package])
def test_what_is_unsafe_is_refused_before_it_is_read(tmp_path, monkeypatch, opened):
    folder = put_adapter(tmp_path / "package", "copa")
    (folder / "setup.py").write_text("print('hello')")
    monkeypatch.setattr("adapter_transfer.sharing.opening.read_package", None)
    with pytest.raises(UnsafePackageError, match=r"setup\.py"):
        opened(folder)


def test_what_does_not_fit_is_not_handed_out(tmp_path):
    folder = put_adapter(tmp_path / "package", "copa")
    assert look_into(folder).adapters[0].name == "copa"
    with pytest.raises(MisfitError, match="hidden size 32"):
        open_package(folder, "nano")


def test_an_encoder_that_is_not_told_has_to_be_named(tmp_path):
    folder = put_adapter(tmp_path / "package", "copa", model_name="/models/of-somebody")
    with pytest.raises(ConfigError, match="--backbone"):
        open_package(folder)
