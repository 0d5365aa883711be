"""Which trees of files are accepted: checked on git's listing, before a single file is unpacked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.git_ingest.lines import clean_line
from shared.errors import Invalid

LONGEST_PATH = 1024
LONGEST_NAME = 255
"""In bytes: what a file's name may take on Linux."""
MOST_LINKS = 1000

# Code points that HFS+ leaves out when it compares names (git's utf8.c, `next_hfs_char`).
_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)


@dataclass(frozen=True)
class Entry:
    """One line of `git ls-tree -r -t -l -z`; `size` is in bytes, 0 for what is no file."""

    mode: str
    size: int
    path: str

    @staticmethod
    def parse(line: bytes) -> "Entry":
        about, _, path = line.partition(b"\t")
        mode, _kind, _oid, size = about.split()
        return Entry(
            mode.decode(), int(size) if size.isdigit() else 0, path.decode("utf-8", "replace")
        )

    @property
    def is_folder(self) -> bool:
        return self.mode == "040000"

    @property
    def is_link(self) -> bool:
        return self.mode == "120000"

    @property
    def is_submodule(self) -> bool:
        return self.mode == "160000"


@dataclass
class Summary:
    """What a tree holds."""

    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class TreeLimits:
    max_files: int
    max_bytes: int


async def listed(chunks: AsyncIterator[bytes]) -> AsyncIterator[Entry]:
    """The entries of a listing that arrives in pieces; never keeps more than one long path."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\0")
        for line in lines:
            yield Entry.parse(line)
        if len(rest) > 8 * LONGEST_PATH:
            raise _too_long(rest.partition(b"\t")[2].decode("utf-8", "replace"))


async def survey(entries: AsyncIterator[Entry], limits: TreeLimits) -> Summary:
    """Check every entry and add them up; stops at the first that cannot be accepted (`Invalid`)."""
    summary = Summary()
    async for entry in entries:
        check_path(entry.path)
        _check_kind(entry)
        _add(summary, entry)
        _check_limits(summary, limits)
    return summary


def check_path(path: str) -> None:
    """Raise `Invalid` for a path that no folder should hold."""
    if len(path) > LONGEST_PATH:
        raise _too_long(path)
    for name in path.split("/"):
        if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
            raise Invalid(
                f"The file name {_shown(name)} is longer than {LONGEST_NAME} bytes; shorten it."
            )
        if is_dangerous(name):
            raise Invalid(
                f"The path {_shown(path)} cannot be accepted because of the part {_shown(name)};"
                " remove it from the repository."
            )


def is_dangerous(name: str) -> bool:
    """True for "", ".", ".." and what some file system takes for ".git".

    Variants as git's own fsck knows them: other cases, ignored code points (HFS+), trailing dots
    and blanks, streams, the short name GIT~1, and a backslash as separator (NTFS).
    """
    for part in name.translate(_IGNORED).split("\\"):
        plain = part.partition(":")[0].lower()
        if part in ("", ".", "..") or plain.rstrip(". ") in (".git", "git~1"):
            return True
    return False


def _check_kind(entry: Entry) -> None:
    if entry.is_submodule:
        raise Invalid(
            f"The repository has a submodule at {_shown(entry.path)}, and submodules are not"
            " fetched; put its files into the repository or name it in requirements.txt."
        )


def _add(summary: Summary, entry: Entry) -> None:
    if entry.is_folder:
        summary.folders += 1
        return
    summary.files += 1
    summary.bytes += entry.size
    summary.links += entry.is_link


def _check_limits(summary: Summary, limits: TreeLimits) -> None:
    if max(summary.files, summary.folders) > limits.max_files:
        what = "files" if summary.files > limits.max_files else "folders"
        raise Invalid(
            f"The repository has more than {limits.max_files:,} {what}; leave data and"
            " environments (.venv, node_modules) out of it with a .gitignore file."
        )
    if summary.bytes > limits.max_bytes:
        raise Invalid(
            f"The files of the repository take more than {size_text(limits.max_bytes)};"
            " keep large data outside of it."
        )
    if summary.links > MOST_LINKS:
        raise Invalid(f"The repository has more than {MOST_LINKS:,} symbolic links; remove some.")


def size_text(size: int) -> str:
    """A size as people write it: "512 MiB"."""
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes_each:
            return f"{size / bytes_each:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


def _too_long(path: str) -> Invalid:
    return Invalid(
        f"The path {_shown(path)} is longer than {LONGEST_PATH:,} characters; shorten it."
    )


def _shown(path: str) -> str:
    shown = clean_line(path[:80])
    return f"'{shown}...'" if len(path) > 80 else f"'{shown}'"
