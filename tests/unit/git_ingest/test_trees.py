import pytest

from services.git_ingest.trees import (
    Entry,
    Summary,
    TreeLimits,
    check_path,
    is_dangerous,
    listed,
    size_text,
    survey,
)
from shared.errors import Invalid

LIMITS = TreeLimits(max_files=3, max_bytes=1000)
OID = "0" * 40


def line(path: str, mode: str = "100644", kind: str = "blob", size: str = "10") -> bytes:
    return f"{mode} {kind} {OID} {size:>7}\t{path}\0".encode()


async def pieces(raw: bytes, length: int = 7):
    for start in range(0, len(raw), length):
        yield raw[start : start + length]


async def summary(*lines: bytes) -> Summary:
    return await survey(listed(pieces(b"".join(lines))), LIMITS)


async def test_adds_up():
    found = await summary(
        line("a b\tc"), line("d", "040000", "tree", "-"), line("d/l", "120000", size="3")
    )
    assert found == Summary(files=2, folders=1, links=1, bytes=13)


async def test_listing_in_pieces():
    entries = [entry async for entry in listed(pieces(line("ä/ö") + line("x"), 3))]
    assert entries == [Entry("100644", 10, "ä/ö"), Entry("100644", 10, "x")]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([line(f"f{i}") for i in range(4)], "more than 3 files"),
        ([line(f"d{i}", "040000", "tree", "-") for i in range(4)], "more than 3 folders"),
        ([line("f", size="1001")], "take more than 1000 bytes"),
        ([line("vendor", "160000", "commit", "-")], "has a submodule at 'vendor'"),
        ([line("d/" * 600 + "f")], "longer than 1,024 characters"),
        ([line("d/" * 50_000 + "f")], "longer than 1,024 characters"),
        ([line("x" * 256)], "longer than 255 bytes"),
        ([line("a/.git/hooks/x")], "because of the part '.git'"),
    ],
)
async def test_refuses(lines, sentence):
    with pytest.raises(Invalid, match=sentence):
        await summary(*lines)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".git",
        ".GIT",
        ".Git ",
        ".git.",
        ".git:x",
        "git~1",
        ".g\u200cit",
        "..\\x",
        "a\\.git\\config",
    ],
)
def test_dangerous_names(name):
    assert is_dangerous(name)


@pytest.mark.parametrize("name", [".gitignore", ".github", "git", "a.git", "...", "x..y", "~"])
def test_harmless_names(name):
    assert not is_dangerous(name)


def test_longest_path_is_accepted():
    check_path("/".join(["d" * 204] * 5))


@pytest.mark.parametrize(
    ("size", "text"),
    [(512 << 20, "512 MiB"), (1536, "1.5 KiB"), (7, "7 bytes"), (2 << 30, "2 GiB")],
)
def test_size_text(size, text):
    assert size_text(size) == text
