"""The frame walker: it knows where frames end, however the reads split them."""

import pytest

from gateway.frames import FrameWalker, close_frame


def frame(size: int, masked: bool = False, opcode: int = 2) -> bytes:
    if size < 126:
        head = bytes((0x80 | opcode, (0x80 if masked else 0) | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, (0x80 if masked else 0) | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, (0x80 if masked else 0) | 127)) + size.to_bytes(8, "big")
    return head + (b"mask" if masked else b"") + b"\x88" * size


FRAMES = [frame(0), frame(5, True), frame(125), frame(126, True), frame(300), frame(0, True)]


def test_between_exactly_at_frame_ends() -> None:
    stream = b"".join(FRAMES)
    ends, place = set(), 0
    for one in FRAMES:
        place += len(one)
        ends.add(place)
    walker = FrameWalker()
    for index in range(len(stream)):
        walker.walk(stream[index : index + 1])
        assert walker.between == (index + 1 in ends), index
    assert not walker.closed


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 129, 500])
def test_any_read_size(size: int) -> None:
    stream = b"".join(FRAMES) + frame(70_000)
    walker = FrameWalker()
    for start in range(0, len(stream), size):
        walker.walk(stream[start : start + size])
    assert walker.between


def test_boundary_is_found_from_any_place() -> None:
    stream = frame(200) + frame(3, True) + frame(70_000)
    for cut in range(1, 204):
        walker = FrameWalker()
        walker.walk(stream[:cut])
        assert walker.walk_to_boundary(stream[cut:]) == 204 - cut
        assert walker.between


def test_boundary_may_be_far_away() -> None:
    walker = FrameWalker()
    walker.walk(b"\x82")
    assert walker.walk_to_boundary(b"\x7e") == 1
    assert not walker.between
    assert walker.walk_to_boundary(b"\x01\x00" + b"x" * 255) == 257
    assert not walker.between
    assert walker.walk_to_boundary(b"x\x81\x00") == 1
    assert walker.between


def test_close_frames_are_noticed() -> None:
    walker = FrameWalker()
    walker.walk(frame(2, opcode=8))
    assert walker.closed


def test_close_frame() -> None:
    assert close_frame(1012, "bye", masked=False) == b"\x88\x05\x03\xf4bye"
    masked = close_frame(1012, "bye", masked=True)
    assert masked[:2] == b"\x88\x85"
    plain = bytes(byte ^ masked[2 + index % 4] for index, byte in enumerate(masked[6:]))
    assert plain == b"\x03\xf4bye"
