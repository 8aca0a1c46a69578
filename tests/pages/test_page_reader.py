"""The replay's reader of the status page, before pages that the real publisher swaps in."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from status_samples import SETTINGS, SITUATIONS

from hakika.health.page.model import StatusModel
from hakika.health.page.publisher import publish
from hakika.health.page.site import site
from hakika.simulator.page_reader import LOOK_EVERY_S, PageReader, openings

UUID_TEXT = "6f1d0c5e-8a51-4f0a-9d57-0c1e2b3a4f60"


def renamed(model: StatusModel, *, relapses: tuple[int, ...] = ()) -> StatusModel:
    """The page with its open incident under an id as health gives them."""
    first, *others = model.incidents
    return replace(model, incidents=(replace(first, id=f"inc_{UUID_TEXT}", relapses_ms=relapses), *others))


async def seen_within(reader: PageReader, rows: int, within_s: float = 5.0) -> None:
    """Wait until the reader has seen so many versions that differ."""
    ends_s = asyncio.get_running_loop().time() + within_s
    while len(reader.rows) < rows and asyncio.get_running_loop().time() < ends_s:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S / 2)
    assert len(reader.rows) == rows


async def test_each_version_that_says_something_else_is_kept_when_it_is_read(tmp_path: Path) -> None:
    model = SITUATIONS["core-out"]
    reader = PageReader(tmp_path)
    reading = asyncio.create_task(reader.run())
    await asyncio.sleep(2 * LOOK_EVERY_S)
    assert reader.rows == []  # there is no page yet
    identifier = UUID_TEXT.replace("-", "")
    for number, relapses in enumerate(((), (), (1_700_000_000_000,))):
        shown = renamed(model, relapses=relapses)
        await asyncio.to_thread(publish, tmp_path, site(shown, SETTINGS), as_of_ms=shown.as_of_ms + number * 1000)
        await asyncio.sleep(2 * LOOK_EVERY_S)
    await seen_within(reader, 2)  # the second says the same as the first
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    first, second = reader.rows
    assert first.shows[identifier] == 1 and second.shows[identifier] == 2
    assert first.at_ms < second.at_ms


@pytest.mark.parametrize("content", [[], {}, {"incidents": None}, "words"])
def test_what_is_no_status_page_is_not_read(content: object) -> None:
    with pytest.raises(ValueError, match="no status page"):
        openings(content)


async def test_a_page_that_is_half_a_file_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    (tmp_path / "current" / "status.json").write_text('{"incidents": [')
    reader = PageReader(tmp_path)
    reading = asyncio.create_task(reader.run())
    await asyncio.sleep(3 * LOOK_EVERY_S)
    assert not reading.done() and reader.rows == []
    reading.cancel()
