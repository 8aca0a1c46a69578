"""What health said, held against what was broken: rows written by hand, one thing wrong in each."""

from dataclasses import replace

import pytest

from hakika.simulator.detection import Detection, EventRow, Fault, PageRow, judge

T = 1_000_000  # the first order that the fault could hit
CORE = frozenset({"role:core"})
MAY = frozenset({"product:bank-to-wallet"})
FAULT = Fault(T, T + 300_000, CORE, MAY)
AGAIN = Fault(T + 400_000, T + 700_000, CORE, MAY, relapse=True)
ENDED = T + 900_000


def event(at_s: float, kind: str, *components: str, incident: str = "one", number: int = 0, into: str = "") -> EventRow:
    return EventRow(incident, number or round(at_s) + 10, T + round(at_s * 1000), kind, components, "core:", into)


def page(at_s: float, **shows: int) -> PageRow:
    return PageRow(T + round(at_s * 1000), shows)


OPENED, CLOSED = event(12, "opened", "role:core"), event(330, "closed")
PAGE = page(13.5, one=1)


def judged(
    events: list[EventRow], pages: list[PageRow] | None = None, faults: tuple[Fault, ...] = (FAULT,)
) -> Detection:
    return judge(faults, events, [PAGE] if pages is None else pages, ended_ms=ENDED)


def why(found: Detection) -> str:
    return "; ".join(word for seen in found.seen for word in seen.why)


def test_seen_said_named_and_closed_as_it_was() -> None:
    found = judged([OPENED, event(20, "grew", "role:core", "product:bank-to-wallet"), CLOSED])
    assert found.figures() == {
        "detected_after_s": 12.0,
        "published_after_s": 13.5,
        "named_right": True,
        "closed_right": True,
        "false_incidents": 0,
    }
    assert found.seen[0].closed_ms == CLOSED.at_ms and not why(found)


def test_detected_late_is_said_as_late_as_it_was() -> None:
    late = event(280, "opened", "role:core")
    found = judged([late, CLOSED], [page(281, one=1)])
    assert (found.seen[0].detected_after_s, found.seen[0].published_after_s) == (280.0, 281.0)
    assert found.false_incidents == 0


def test_never_detected() -> None:
    found = judged([], [])
    assert found.figures() == {
        "detected_after_s": None,
        "published_after_s": None,
        "named_right": False,
        "closed_right": False,
        "false_incidents": 0,
    }


def test_opened_when_it_was_long_over_is_a_false_incident() -> None:
    found = judged([event(340, "opened", "role:core"), event(360, "closed")], [])
    assert found.seen[0].detected_after_s is None
    assert found.false_incidents == 1


def test_opened_before_anything_was_broken_is_a_false_incident() -> None:
    found = judged([event(-5, "opened", "role:core", incident="early"), OPENED, CLOSED])
    assert found.false_incidents == 1 and "which was well" in found.false_words[0]
    assert found.seen[0].detected_after_s == 12.0


def test_another_part_s_name_is_a_false_incident_and_no_detection() -> None:
    found = judged([event(12, "opened", "channel:tracking"), CLOSED])
    assert found.seen[0].detected_after_s is None and not found.seen[0].named_right
    assert found.false_incidents == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("role:core", "channel:tracking"), "channel:tracking is named and was well"),
        (("role:core", "corridor:bank-a"), "corridor:bank-a is named and was well"),
    ],
)
def test_naming_more_than_was_broken_is_wrong(names: tuple[str, ...], said: str) -> None:
    found = judged([OPENED, event(20, "grew", *names), CLOSED])
    assert not found.seen[0].named_right and said in why(found)
    assert found.seen[0].closed_right


def test_the_wrong_cause_or_none_is_wrong() -> None:
    narrow = Fault(T, T + 300_000, CORE, MAY, causes=frozenset({"bank"}))
    assert "the cause is said to be core" in why(judged([OPENED, CLOSED], faults=(narrow,)))
    better = EventRow("one", 40, T + 30_000, "localised", ("role:core",), "bank:bank-b")
    assert judged([OPENED, better, CLOSED], faults=(narrow,)).seen[0].named_right
    silent = [EventRow("one", e.number, e.at_ms, e.kind, e.components) for e in (OPENED, CLOSED)]
    assert "no cause is named" in why(judged(silent, faults=(narrow,)))
    assert judged(silent).seen[0].named_right  # where none is expected, none is wrong


def test_naming_less_than_was_broken_is_wrong() -> None:
    both = Fault(T, T + 300_000, frozenset({"corridor:bank-b", "corridor:bank-c"}))
    one = event(12, "opened", "corridor:bank-b")
    found = judged([one, CLOSED], faults=(both,))
    assert not found.seen[0].named_right and "corridor:bank-c is not named" in why(found)
    other = event(15, "opened", "corridor:bank-c", incident="two")
    found = judged([one, CLOSED, other, event(331, "closed", incident="two")], faults=(both,))
    assert found.seen[0].named_right and found.false_incidents == 0  # two incidents may name it together


def test_a_correction_counts_and_a_name_given_after_the_end_does_not() -> None:
    wrong = event(12, "opened", "role:core", "channel:tracking")
    assert judged([wrong, event(60, "corrected", "role:core"), CLOSED]).seen[0].named_right
    assert not judged([wrong, event(310, "corrected", "role:core"), CLOSED]).seen[0].named_right


def test_never_closed() -> None:
    found = judged([OPENED])
    assert not found.seen[0].closed_right and "still open when the run ended" in why(found)
    assert found.seen[0].named_right and found.seen[0].closed_ms is None


def test_an_all_clear_while_it_is_broken_is_wrong_even_if_it_opens_again() -> None:
    found = judged([OPENED, event(200, "closed"), event(210, "relapsed", "role:core"), CLOSED])
    assert not found.seen[0].closed_right and "closed 100.0 s before it was mended" in why(found)
    assert found.false_incidents == 0


def test_the_page_is_late_or_never_or_shows_an_older_event() -> None:
    assert judged([OPENED, CLOSED], [page(95, one=1)]).seen[0].published_after_s == 95.0
    for pages in ([], [page(13.5, other=99)], [page(13.5, other=1)], [page(11, one=1)]):
        found = judged([OPENED, CLOSED], pages)
        assert found.figures()["published_after_s"] is None
        assert "no version of the page shows it" in why(found)
        assert found.seen[0].named_right and found.seen[0].closed_right


def test_the_first_page_that_shows_it_counts() -> None:
    pages = [page(40, one=1), page(14, one=1), page(13, other=1)]
    assert judged([OPENED, CLOSED], pages).seen[0].published_after_s == 14.0


RELAPSED = event(420, "relapsed", "role:core")
LAST = event(730, "closed", number=900)


def test_a_relapse_opens_the_same_incident_again() -> None:
    pages = [PAGE, page(421, one=2)]
    found = judged([OPENED, CLOSED, RELAPSED, LAST], pages, (FAULT, AGAIN))
    assert [seen.detected_after_s for seen in found.seen] == [12.0, 20.0]
    assert found.figures() == {
        "detected_after_s": 20.0,  # the slower of the two
        "published_after_s": 21.0,
        "named_right": True,
        "closed_right": True,
        "false_incidents": 0,
    }
    assert [seen.closed_ms for seen in found.seen] == [CLOSED.at_ms, LAST.at_ms]


def test_a_page_that_does_not_tell_of_the_relapse_is_not_up_to_date() -> None:
    found = judged([OPENED, CLOSED, RELAPSED, LAST], [PAGE, page(421, one=1)], (FAULT, AGAIN))
    assert [seen.published_after_s for seen in found.seen] == [13.5, None]


def test_a_relapse_of_an_incident_that_was_still_recovering() -> None:
    pages = [PAGE, page(421, one=2)]
    found = judged([OPENED, event(340, "recovering"), RELAPSED, LAST], pages, (FAULT, AGAIN))
    assert found.figures()["detected_after_s"] == 20.0 and not why(found)


def test_a_relapse_of_an_incident_that_never_looked_better() -> None:
    found = judged([OPENED, LAST], [PAGE], (FAULT, AGAIN))
    assert [seen.detected_after_s for seen in found.seen] == [12.0, 0.0]
    assert not why(found)


def test_a_relapse_as_another_incident_is_named_wrong() -> None:
    other = event(420, "opened", "role:core", incident="two")
    events = [OPENED, CLOSED, other, event(730, "closed", incident="two", number=900)]
    found = judged(events, [PAGE, page(421, two=1)], (FAULT, AGAIN))
    assert [seen.named_right for seen in found.seen] == [True, False]
    assert "another incident" in why(found) and found.false_incidents == 0


def test_a_missed_relapse_leaves_the_figure_empty() -> None:
    found = judged([OPENED, CLOSED], [PAGE], (FAULT, AGAIN))
    assert found.figures()["detected_after_s"] is None
    assert found.seen[0].detected_after_s == 12.0


def test_what_was_merged_into_the_right_one_is_no_false_incident() -> None:
    other = event(14, "opened", "channel:bank-api", incident="two")
    merged = event(30, "merged", incident="two", into="one")
    assert judged([OPENED, CLOSED, other, merged]).false_incidents == 0
    stray = event(30, "merged", incident="two", into="three")
    assert judged([OPENED, CLOSED, other, stray]).false_incidents == 1


def test_the_cause_of_what_was_merged_is_the_one_it_became_part_of() -> None:
    fault = Fault(T, T + 300_000, CORE, MAY, causes=frozenset({"core"}))
    other = EventRow("two", 1, T + 14_000, "opened", ("role:core",), "channel:core-api")
    merged = event(30, "merged", incident="two", into="one", number=2)
    assert not why(judged([OPENED, CLOSED, other, replace(merged, cause="")], faults=(fault,)))
    late = replace(merged, at_ms=T + 310_000, cause="")
    assert "the cause is said to be channel" in why(judged([OPENED, CLOSED, other, late], faults=(fault,)))


def test_what_need_not_be_seen_is_not_false_either() -> None:
    blip = Fault(T + 340_000, T + 350_000, frozenset({"corridor:bank-a"}), required=False)
    said = event(345, "opened", "corridor:bank-a", incident="two")
    assert judged([OPENED, CLOSED, said], faults=(FAULT, blip)).figures() == judged([OPENED, CLOSED]).figures()
    assert judged([OPENED, CLOSED, said], faults=(FAULT,)).false_incidents == 1


def test_an_operator_s_own_incident_is_no_false_alarm() -> None:
    by_hand = event(500, "opened_by_hand", "channel:tracking", incident="two")
    assert judged([OPENED, CLOSED, by_hand]).false_incidents == 0


def test_planned_work_that_overruns() -> None:
    overran = event(0, "overran", "role:core")
    found = judged([overran, CLOSED], [page(1, one=1)])
    assert (found.seen[0].detected_after_s, found.seen[0].published_after_s) == (0.0, 1.0)
    at_once = Fault(T + 400, T + 300_000, CORE, MAY, since_ms=T)  # seen before the next customer came
    found = judged([overran, CLOSED], [page(0.2, one=1)], (at_once,))
    assert (found.seen[0].detected_after_s, found.seen[0].published_after_s) == (0.0, 0.0)
    assert found.false_incidents == 0
    early = judged([event(-100, "opened", "role:core"), CLOSED], [])
    assert early.false_incidents == 1  # it had been announced


def test_a_day_without_faults() -> None:
    assert judged([], [], ()).figures()["false_incidents"] == 0
    assert judged([OPENED, CLOSED], [], ()).false_incidents == 1
