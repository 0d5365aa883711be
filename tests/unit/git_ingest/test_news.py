import asyncio
import time

from services.git_ingest.news import MOST_LINES, News


def test_keeps_the_newest_lines_only():
    news = News()
    for number in range(MOST_LINES + 5):
        news.tell(str(number))
    lines = news.take()
    assert lines[0] == "(5 lines left out)"
    assert (lines[1], lines[-1], len(lines)) == ("5", str(MOST_LINES + 4), MOST_LINES + 1)
    assert news.take() == []


async def test_wakes_at_once_and_asks_for_a_look_after_silence():
    news = News()
    news.changed = False
    asyncio.get_running_loop().call_soon(news.tell, "line")
    began = time.monotonic()
    await news.wait(5)
    assert time.monotonic() - began < 1
    assert not news.changed
    await news.wait(0.01)
    assert news.changed
