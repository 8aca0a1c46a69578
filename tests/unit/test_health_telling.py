"""What is said in public at an incident's end: no more than was counted, and nothing of counts where there are none."""

from typing import Any

import pytest
from incident_states import COMPONENTS, MET, OPENED, OTHER, after

from hakika.health.incident_events import Closed, Merged, Recovering
from hakika.health.naming import Configured, Named
from hakika.health.page.model import News, Stage, Template
from hakika.health.telling import updates

NAMES = Named(Configured(one, one.partition(":")[0], "Demo Bank A", ()) for one in COMPONENTS)


@pytest.mark.parametrize(
    ("end", "stage", "said"),
    [
        (Closed(MET, 212, 3), Stage.RESOLVED, Template(News.RESOLVED, {"arrived": 212, "returned": 3})),
        (Closed(MET, 0, 3), Stage.RESOLVED, Template(News.RESOLVED, {"arrived": 0, "returned": 3})),
        (Closed(MET), Stage.RESOLVED, Template(News.OVER)),
        (Merged(OTHER), Stage.MERGED, Template(News.MERGED)),
    ],
    ids=["counted", "only returns", "nothing counted", "merged"],
)
def test_an_end_is_told_as_it_was_measured(end: Any, stage: Stage, said: Template) -> None:
    *_, last = updates(after(OPENED, Recovering(90), end), NAMES)
    assert (last.stage, last.text) == (stage, said)
