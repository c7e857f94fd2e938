"""What may be fetched, by names and sizes alone."""

from __future__ import annotations

import pytest

from adapter_transfer.sharing.listing import (
    MAX_FILES,
    UnsafePackageError,
    admitted_files,
    admitted_pickles,
    is_fusion_name,
    shown,
)

ONE = {"adapter_config.json": 900, "adapter.safetensors": 5000}
HEAD = {"head_config.json": 400, "model_head.safetensors": 700}
PICKLED = {
    ".gitattributes": 1200,
    "README.md": 2000,
    "adapter_config.json": 900,
    "head_config.json": 400,
    "pytorch_adapter.bin": 6_000_000,
    "pytorch_model_head.bin": 2_000_000,
}


def below(folder, listing):
    return {f"{folder}/{name}": size for name, size in listing.items()}


def refusal(listing, **options):
    with pytest.raises(UnsafePackageError) as caught:
        admitted_files(listing, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "listing",
    [
        ONE,
        ONE | HEAD | {"manifest.json": 3000, "README.md": 10, "LICENSE": 5, "LICENSE.md": 5},
        below("mnli", ONE) | below("copa", ONE | HEAD) | {"manifest.json": 9},
        below("seed-0/mnli", ONE) | below("seed-12/mnli", ONE),
        below("a", ONE)
        | below("b", ONE)
        | below("a,b", {"adapter_fusion_config.json": 5, "model_adapter_fusion.safetensors": 9})
        | {"adapter_setup.json": 50},
    ],
    ids=["one", "with-head", "two", "seeds", "setup-with-fusion"],
)
def test_packages_are_admitted_as_they_are(listing):
    assert admitted_files(listing) == tuple(sorted(listing))


def test_what_git_needs_is_known_and_not_fetched():
    assert ".gitattributes" not in admitted_files(ONE | {".gitattributes": 1500})


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("pytorch_adapter.bin", "pickle.*--convert"),
        ("weights.pt", "pickle"),
        ("copa/optimizer.pth", "pickle"),
        ("last.ckpt", "pickle"),
        ("x.pkl", "pickle"),
        ("x.PICKLE", "pickle"),
        ("adapter.zip", "archives are never unpacked"),
        ("adapter.safetensors.gz", "archive"),
        ("all.tar", "archive"),
        ("modeling.py", "program code.*trust_remote_code"),
        ("run.sh", "program code"),
        ("evil.py.txt", "program code"),
        ("notes.txt", "no file of an adapter"),
        ("config.json", "no file of an adapter"),
        ("deep/er/than/adapter_config.json", "no file of an adapter"),
        ("mnli/seed-1/adapter.safetensors", "no file of an adapter"),
        (".git/config", "no file of an adapter"),
        ("copa/manifest.json", "no file of an adapter"),
    ],
)
def test_other_kinds_are_refused_with_their_reason_or_left_out_on_request(path, told):
    listing = ONE | {path: 10}
    with pytest.raises(UnsafePackageError, match=f"(?i){told}") as caught:
        admitted_files(listing)
    assert repr(path) in str(caught.value) and "--leave-out-unknown" in str(caught.value)
    assert admitted_files(listing, leave_out_unknown=True) == tuple(sorted(ONE))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../adapter_config.json",
        "a/../../adapter_config.json",
        "./adapter_config.json",
        "a//adapter_config.json",
        "a/",
        "a\\..\\adapter_config.json",
        "C:adapter_config.json",
        "https://host/adapter.safetensors",
        "adapter_config.json\0.txt",
        "\x1b[31mred/adapter_config.json",
        "a\nb/adapter_config.json",
        "\u202eadapter_config.json",
        "\uff0e\uff0e/adapter_config.json",
        "\u0430dapter_config.json",
        " /adapter_config.json",
        "a/" * 200 + "x",
        "~/adapter_config.json",
        "",
    ],
)
@pytest.mark.parametrize("leave_out", [False, True])
def test_unsafe_names_are_an_error_in_any_case(path, leave_out):
    told = refusal(ONE | {path: 10}, leave_out_unknown=leave_out)
    assert "name" in told
    assert all(character.isprintable() or character == "\n" for character in told)


def test_names_that_are_one_on_some_disks_are_refused():
    assert "capitals" in refusal(below("COPA", ONE) | below("copa", ONE))
    assert "capitals" in refusal(below("License", ONE) | {"LICENSE": 5})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"adapter.safetensors": 5 * 2**30}, "5,368,709,120 bytes.*--max-size"),
        ({"adapter_config.json": 2**20 + 1}, "1,048,577 bytes"),
        ({"README.md": 2**21}, "2,097,152 bytes"),
        ({"adapter.safetensors": -1}, "size is not known"),
        ({"adapter.safetensors": None}, "size is not known"),
        ({"adapter.safetensors": True}, "size is not known"),
    ],
)
def test_oversized_files_and_unknown_sizes_are_refused(changed, told):
    with pytest.raises(UnsafePackageError, match=told):
        admitted_files(ONE | changed)


def test_number_and_sum_of_files_are_bounded():
    many = {path: 1 for k in range(MAX_FILES) for path in below(f"a{k}", ONE)}
    assert "2,000 files" in refusal(many)
    assert "20,002 files" in refusal({f"x{k}": 1 for k in range(20_002)})
    large = {path: 90 for k in range(9) for path in below(f"a{k}", ONE)}
    assert "all files together" in refusal(large, max_bytes=100)
    assert admitted_files(large)


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ({}, "no weights of an adapter"),
        ({"README.md": 5}, "no weights of an adapter"),
        ({"adapter.safetensors": 5}, "'adapter_config.json' is missing"),
        (ONE | {"head_config.json": 4}, "'model_head.safetensors' is missing"),
        (ONE | {"a,b/model_adapter_fusion.safetensors": 4}, "'a,b/adapter_fusion_config.json' is missing"),
    ],
)
def test_a_package_is_whole(listing, told):
    assert told in refusal(listing)


def test_a_repository_of_pickles_alone_leads_to_the_conversion():
    told = refusal(PICKLED)
    assert told.count("--convert") == 1 and "'pytorch_adapter.bin', 'pytorch_model_head.bin'" in told
    assert "pickles alone" in refusal(PICKLED, leave_out_unknown=True)
    assert admitted_pickles(PICKLED) == tuple(sorted(PICKLED.keys() - {".gitattributes"}))


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        (PICKLED | ONE, "nothing to convert"),
        (PICKLED | {"embedding.pt": 9}, "no file of an adapter"),
        (PICKLED | {"x.py": 9}, "program code"),
        (PICKLED | {"../pytorch_adapter.bin": 9}, "leads out"),
        (PICKLED | {"pytorch_adapter.bin": 2**33}, "8,589,934,592 bytes"),
        ({"README.md": 4}, "no pytorch_adapter.bin"),
        ({"pytorch_adapter.bin": 4}, "'adapter_config.json' is missing"),
    ],
)
def test_a_conversion_gets_no_more_than_a_published_adapter(listing, told):
    with pytest.raises(UnsafePackageError, match=told):
        admitted_pickles(listing)


def test_a_conversion_may_leave_out_what_it_does_not_need():
    assert "x.py" not in admitted_pickles(PICKLED | {"x.py": 9, "training_args.bin": 5}, leave_out_unknown=True)


def test_every_problem_is_told_at_once_and_many_are_counted():
    with pytest.raises(UnsafePackageError) as caught:
        admitted_files(ONE | {f"../{k}": 1 for k in range(50)} | {"x.py": 1})
    assert len(caught.value.problems) == 51
    assert str(caught.value).endswith("and 39 more problems")


def test_names_of_fusions():
    assert is_fusion_name("mnli,squad1") and is_fusion_name("a,b,c")
    assert not any(map(is_fusion_name, ("a", "a,", ",a", "a,../b", "a,b c", "a," * 40 + "b", None)))


def test_what_is_shown_is_short_and_quoted():
    assert shown("\x1b[2J") == r"'\x1b[2J'"
    assert len(shown("x" * 5000)) <= 80
