"""Claims of tracking pages against recorded lives: each false claim is found, each true one is not."""

import pytest
from replay_runs import Run, add, iso, ms, ordinary, page

from hakika.simulator.lives import Life
from hakika.simulator.tracking import BEHIND_MS, Sample, check, falsehood, instant_ms, stage_at


@pytest.fixture
def run() -> Run:
    return Run()


def doubtful(run: Run) -> Life:
    return add(run, 20.0, [(20.1, 141.0, "posted")])


def returned(run: Run) -> Life:
    return add(run, 25.0, [], back_s=103.0, confirmed_s=105.0, reason="deadline_passed")


def test_a_whole_run_of_truthful_pages() -> None:
    run = ordinary()
    result = check(run.samples, run.lives)
    assert result.wrong == []
    assert result.checked == len(run.samples) > 1000
    assert result.with_core_dead > 0
    assert {"held", "in_doubt", "completed", "coming_back", "returned"} <= {
        stage for stages in result.by_phase_and_stage.values() for stage in stages
    }


def test_the_stage_at_each_instant(run: Run) -> None:
    doubt, back = doubtful(run), returned(run)
    said = [stage_at(doubt, ms(at_s)) for at_s in (20.05, 21, 101, 142)]
    assert said == ["held", "in_doubt", "past_deadline_in_doubt", "completed"]
    assert [stage_at(back, ms(at_s)) for at_s in (30, 104, 106)] == ["held", "coming_back", "returned"]


@pytest.mark.parametrize("stage", ["completed", "held", "returned", "past_deadline_in_doubt"])
def test_a_false_stage_while_in_doubt(run: Run, stage: str) -> None:
    life = doubtful(run)
    holder = {"completed": "wallet", "held": "hakika", "returned": "bank"}.get(stage, "being_established")
    sample = page(life.uetr, life, ms(60), stage=stage, holder=holder)
    assert "the records say in_doubt" in str(falsehood(sample, life))


def test_hakika_as_holder_while_an_attempt_is_open(run: Run) -> None:
    life = doubtful(run)
    assert "holder" in str(falsehood(page(life.uetr, life, ms(60), holder="hakika"), life))


def test_sending_and_in_doubt_are_the_same_fact(run: Run) -> None:
    life = doubtful(run)
    assert falsehood(page(life.uetr, life, ms(21), stage="sending"), life) is None


def test_a_claim_may_be_a_little_old_and_no_more(run: Run) -> None:
    life = doubtful(run)
    fresh = page(life.uetr, life, ms(141) - 1, stage="in_doubt", status="IN_FLIGHT", holder="being_established")
    late = ms(141) + BEHIND_MS
    for at_ms, wrong in ((late - 100, False), (late + 100, True)):
        body = {**fresh.body, "as_of": iso(at_ms), "stage": "past_deadline_in_doubt"}
        sample = Sample(life.uetr, at_ms - 3, "healed", False, 200, body)
        assert (falsehood(sample, life) is not None) is wrong


def test_a_claim_is_never_ahead(run: Run) -> None:
    life = doubtful(run)
    sample = page(life.uetr, life, ms(140), stage="completed", holder="wallet", status="COMPLETED", ended=iso(ms(141)))
    assert "says completed" in str(falsehood(sample, life))


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("amount", "1.00", "amount"),
        ("currency", "UGX", "currency"),
        ("deadline", iso(ms(999)), "deadline"),
        ("received", iso(ms(1)), "received"),
        ("status", "COMPLETED", "status"),
        ("as_of", None, "no as_of"),
        ("stage", "pending", "unknown stage"),
        ("creditor", {"name": "Wanjiru Kamau"}, "creditor's name whole"),
        ("creditor", {"msisdn": "254712345678"}, "creditor's number whole"),
        ("debtor", {"name": "Otieno Odhiambo"}, "debtor's name whole"),
    ],
)
def test_every_other_falsehood(run: Run, member: str, value: object, said: str) -> None:
    life = doubtful(run)
    assert said in str(falsehood(page(life.uetr, life, ms(60), **{member: value}), life))


@pytest.mark.parametrize(("member", "said"), [("ended", "ended"), ("return_confirmed", "return_confirmed")])
def test_instants_of_a_return(run: Run, member: str, said: str) -> None:
    life = returned(run)
    assert falsehood(page(life.uetr, life, ms(110)), life) is None
    assert said in str(falsehood(page(life.uetr, life, ms(110), **{member: iso(ms(1))}), life))


def test_an_old_answer_is_wrong_and_silence_is_no_claim(run: Run) -> None:
    life = doubtful(run)
    old = page(life.uetr, life, ms(60))
    stale = Sample(life.uetr, ms(70), "outage", False, 200, old.body)
    assert "before the question" in str(falsehood(stale, life))
    silent = Sample(life.uetr, ms(60), "outage", False, 503, {})
    result = check([silent], run.lives)
    assert (result.checked, result.silent, result.wrong) == (0, 1, [])


def test_a_page_about_nothing(run: Run) -> None:
    life = doubtful(run)
    result = check([page("f" * 32, life, ms(60))], run.lives)
    assert len(result.wrong) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1970-01-01T00:00:01.250Z", 1250), (7, 7), ("soon", None), (None, None), ("1970-01-01T03:00:00+03:00", 0)],
)
def test_instants(value: object, expected: int | None) -> None:
    assert instant_ms(value) == expected
