"""The verdict: an honest run is kept, and each promise that is broken is found and its transfer named."""

from dataclasses import replace

import pytest
from replay_runs import BEGAN_MS, PROMISE_MS, Run, add, ms, ordinary, page

from hakika.simulator.faults import Mode
from hakika.simulator.links import Change
from hakika.simulator.reckoning import IN_DOUBT_PER_CUT, UNANSWERED, Evidence, Reckoning, covered_ms, reckon

KEYS = [
    "scenario", "seed", "scale", "offered", "debited_not_accepted", "accepted", "completed", "returned", "rejected",
    "refused_by_reason", "unfinished", "double_credited", "deadline_missed", "in_doubt_past_deadline",
    "longest_wait_s", "longest_wait_scaled_s", "tracking_checked", "tracking_wrong", "leashed", "books", "verdict",
]  # fmt: skip


@pytest.fixture
def run() -> Run:
    return Run()


def rules(run: Run) -> dict[str, str | None]:
    return {item.rule: item.uetr for item in run.judged().broken}


def test_an_honest_run_is_kept() -> None:
    run = ordinary()
    judged = run.judged()
    assert judged.broken == []
    figures = judged.figures
    assert list(figures) == KEYS
    assert figures["verdict"] == "kept"
    assert figures["accepted"] == len(run.lives) == figures["completed"] + figures["returned"]
    assert 0 < figures["in_doubt_past_deadline"] <= IN_DOUBT_PER_CUT
    assert figures["longest_wait_scaled_s"] == pytest.approx(figures["longest_wait_s"] * 180, abs=1)
    assert list(figures["books"]) == ["core_sum_minor", "bank_vs_gateway_minor", "gateway_vs_core_minor"]


def test_late_without_a_byte_sent_is_missed(run: Run) -> None:
    life = add(run, 1, [], back_s=1 + PROMISE_MS / 1000 + 0.5, confirmed_s=83, reason="deadline_passed")
    assert run.judged().figures["deadline_missed"] == 1
    assert rules(run) == {"deadline": life.uetr}


def test_late_with_bytes_sent_is_in_doubt(run: Run) -> None:
    add(run, 1, [(1.1, 90, "posted")])
    figures = run.judged().figures
    assert (figures["deadline_missed"], figures["in_doubt_past_deadline"]) == (0, 1)
    assert figures["verdict"] == "kept"


def test_the_gateway_s_word_is_not_enough(run: Run) -> None:
    life = add(run, 1, [(1.1, 90, "posted")])
    run.crossed.clear()  # the proxy saw nothing
    assert rules(run) == {"deadline": life.uetr}


def test_bytes_after_the_deadline_excuse_nothing(run: Run) -> None:
    life = add(run, 1, [(1.1, 90, "posted")])
    run.crossed[life.attempts[0].id] = life.deadline_ms + 1
    assert rules(run) == {"deadline": life.uetr}


def test_an_attempt_that_was_answered_in_time_excuses_nothing(run: Run) -> None:
    life = add(run, 1, [(1.1, 2, "burnt"), (85, 86, "posted")])
    assert rules(run) == {"deadline": life.uetr}


def test_swallowed_by_the_link_is_in_doubt_and_said(run: Run) -> None:
    life = add(run, 1, [(1.1, 90, "posted")])
    run.crossed.clear()
    evidence = replace(run.evidence(), swallowed={life.attempts[0].id: ms(1.1)})
    judged = judge(evidence)
    assert judged.figures["in_doubt_past_deadline"] == 1
    assert judged.extra["in_doubt_swallowed"] == 1


def test_too_many_in_doubt_for_the_cuts(run: Run) -> None:
    for number in range(IN_DOUBT_PER_CUT + 1):
        add(run, 1 + number / 100, [(2, 90, "posted")])
    run.links.history += [Change(ms(3), "gateway-core", Mode.DEAF), Change(ms(80), "gateway-core", Mode.OPEN)]
    assert "in doubt past the deadline" in rules(run)


def test_unfinished_in_each_way(run: Run) -> None:
    held = add(run, 150, [])
    back = add(run, 20, [], back_s=90, reason="deadline_passed")
    unbooked = add(run, 21, [(21.1, 21.2, "posted")])
    run.booked[unbooked.uetr] = run.booked[unbooked.uetr]._replace(state="accepted")
    judged = run.judged()
    assert judged.figures["unfinished"] == 3
    assert {item.uetr for item in judged.broken if item.rule == "unfinished"} == {held.uetr, back.uetr, unbooked.uetr}
    assert judged.figures["verdict"] == "broken"


def test_an_open_transfer_before_its_deadline_is_unfinished_and_not_missed(run: Run) -> None:
    add(run, (judged_s := 200), [])
    assert ms(judged_s) + PROMISE_MS > run.evidence().judged_ms
    figures = run.judged().figures
    assert (figures["unfinished"], figures["deadline_missed"]) == (1, 0)


def test_credited_twice(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "burnt"), (1.3, 1.4, "posted")])
    run.posted.add(life.attempts[0].id)
    assert run.judged().figures["double_credited"] == 1
    assert rules(run) == {"double": life.uetr}


def test_credited_and_given_back(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "refused")], back_s=1.3, confirmed_s=1.4, reason="wallet_unknown")
    run.posted.add(life.attempts[0].id)
    assert rules(run) == {"double": life.uetr}


def test_called_completed_without_a_posting(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "posted")])
    run.posted.clear()
    assert rules(run) == {"completed": life.uetr}


def test_debited_and_never_accepted(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "posted")])
    run.posted.clear()
    del run.lives[life.uetr]
    run.booked[life.uetr] = run.booked[life.uetr]._replace(state="debited", accepted_ms=None, deadline_ms=None)
    figures = run.judged().figures
    assert figures["debited_not_accepted"] == 1
    assert rules(run) == {"custody": life.uetr}
    run.booked[life.uetr] = run.booked[life.uetr]._replace(state="rejected")
    figures = run.judged().figures
    assert (figures["rejected"], figures["verdict"]) == (1, "kept")


def test_orders_that_debited_nobody_are_counted_by_reason(run: Run) -> None:
    for reason in ("corridor_held", "corridor_held", None):
        life = add(run, 1, [(1.1, 1.2, "posted")])
        del run.lives[life.uetr], run.booked[life.uetr]
        run.told[-1].uetr, run.told[-1].refused = None, reason
    figures = run.judged().figures
    assert figures["refused_by_reason"] == {"corridor_held": 2, UNANSWERED: 1}
    assert figures["verdict"] == "kept"


def test_a_debit_that_only_the_customer_knows_of(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "posted")])
    del run.booked[life.uetr]
    assert "books" in rules(run)


def test_a_debit_that_nobody_ordered(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "posted")])
    run.told.clear()
    assert rules(run)["books"] == life.uetr


def test_a_receipt_with_another_deadline(run: Run) -> None:
    life = add(run, 1, [(1.1, 1.2, "posted")])
    run.booked[life.uetr] = run.booked[life.uetr]._replace(deadline_ms=life.deadline_ms + 1)
    assert rules(run) == {"promise": life.uetr}


def test_a_return_confirmed_late_by_a_bank_that_was_there(run: Run) -> None:
    life = add(run, 1, [], back_s=79, confirmed_s=150, reason="deadline_passed")
    assert rules(run) == {"deadline": life.uetr}
    run.links.history += [
        Change(ms(80), "gateway-bank-b", Mode.REFUSE),
        Change(ms(95), "gateway-bank-b", Mode.OPEN),
    ]
    assert rules(run) == {}  # it could be reached for 56 of the 71 seconds
    assert run.judged().extra["confirmed_late"] == 1
    run.links.history.clear()
    down = replace(run.evidence(), bank_down={"bank-b": [(ms(80), ms(100))]})
    assert judge(down).kept


def test_books_that_do_not_agree_or_are_not_known(run: Run) -> None:
    add(run, 1, [(1.1, 1.2, "posted")])
    run.books["gateway_vs_core_minor"] = 100
    assert rules(run) == {"books": None}
    run.books["gateway_vs_core_minor"] = None
    assert rules(run) == {"books": None}


def test_findings_of_the_recount(run: Run) -> None:
    add(run, 1, [(1.1, 1.2, "posted")])
    run.findings.append("I8 slot 0: the chain is broken")
    judged = run.judged()
    assert [(item.rule, item.detail) for item in judged.broken] == [("recount", "I8 slot 0: the chain is broken")]


def test_the_recount_finds_more_doubles_than_we_do(run: Run) -> None:
    add(run, 1, [(1.1, 1.2, "posted")])
    judged = judge(replace(run.evidence(), doubled_by_recount=2))
    assert judged.figures["double_credited"] == 2
    assert not judged.kept


def test_a_page_that_lied(run: Run) -> None:
    life = add(run, 1, [(1.1, 90, "posted")])
    run.samples.append(page(life.uetr, life, ms(30), stage="completed", holder="wallet", status="COMPLETED"))
    judged = run.judged()
    assert judged.figures["tracking_wrong"] == 1
    assert rules(run) == {"tracking page": life.uetr}


def test_spans_are_counted_once() -> None:
    spans = [(0, 10), (5, 15), (20, 30), (29, 31)]
    assert covered_ms(spans, 2, 30) == 13 + 10
    assert covered_ms([], 0, 10) == 0
    assert covered_ms([(50, 60)], 0, 10) == 0


def judge(evidence: Evidence) -> Reckoning:
    return reckon(evidence, scenario="x", seed=1, scale=180.0, main_link="gateway-core")


def test_began_is_the_origin() -> None:
    assert ms(0) == BEGAN_MS
