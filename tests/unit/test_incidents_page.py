"""The page about incidents names every stage, event, condition and refusal that the code has, and no other event."""

import re
from pathlib import Path

from hakika.health.incident import Refusal, Stage
from hakika.health.incident_events import KINDS, Condition, Met

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "incidents.md").read_text()


def section(title: str) -> str:
    """One section of the page."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_word_is_explained() -> None:
    words = [*Refusal, *Met, *Condition, *(stage for stage in Stage if stage is not Stage.NONE), *KINDS]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def test_no_event_is_explained_that_there_is_not() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)`", section("Events"), re.MULTILINE)) == set(KINDS)
    assert set(re.findall(r"^\| `([a-z_]+)`", section("The close rule"), re.MULTILINE)) == set(Condition)
