"""The table of what a bank does with the gateway's words: complete, and quiet about money without evidence."""

import pytest

from hakika.counterparties.rules import TABLE, Booked, Said, State, Step, Word, decide

FINAL = {State.COMPLETED, State.RETURNED, State.REJECTED}
MOVES = {Step.COMPLETE, Step.RETURN, Step.REJECT}


def booked(state: State, **changes: object) -> Booked:
    values: dict[str, object] = {
        "state": state,
        "amount_minor": 50_000,
        "currency": "KES",
        "msg_id": "m1",
        "end_to_end_id": "e1",
        "receipt": None if state in (State.DEBITED, State.REJECTED) else "receipt-1",
        "return_id": "rtr-1" if state is State.RETURNED else None,
    }
    return Booked(**{**values, **changes})  # type: ignore[arg-type]


def said(word: Word, **changes: object) -> Said:
    values: dict[str, object] = {"msg_id": "m1", "end_to_end_id": "e1"}
    if word is Word.RETURN:
        values |= {"return_id": "rtr-1", "amount_minor": 50_000, "currency": "KES"}
    if word is Word.RECEIPT:
        values["receipt"] = "receipt-1"
    return Said(word, **{**values, **changes})  # type: ignore[arg-type]


def test_the_table_names_every_state_and_word() -> None:
    assert set(TABLE) == set(State)
    assert all(set(row) == set(Word) for row in TABLE.values())


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("word", list(Word))
def test_a_final_state_moves_no_money(state: State, word: Word) -> None:
    assert decide(booked(state), said(word)).step not in MOVES


def test_money_moves_only_on_three_words() -> None:
    moving = {(word, step) for row in TABLE.values() for word, step in row.items() if step in MOVES}
    assert moving == {
        (Word.COMPLETION, Step.COMPLETE),
        (Word.RETURN, Step.RETURN),
        (Word.REFUSAL, Step.REJECT),
    }


def test_after_a_receipt_nothing_is_rejected() -> None:
    assert decide(booked(State.ACCEPTED), said(Word.REFUSAL)).step is Step.CONTRADICT


@pytest.mark.parametrize("word", list(Word))
def test_an_unknown_transfer_is_a_contradiction(word: Word) -> None:
    assert decide(None, said(word)).step is Step.CONTRADICT


@pytest.mark.parametrize(
    ("state", "heard", "rule"),
    [
        (State.ACCEPTED, said(Word.RETURN, amount_minor=49_999), "amount"),
        (State.ACCEPTED, said(Word.RETURN, currency="UGX"), "amount"),
        (State.ACCEPTED, said(Word.COMPLETION, msg_id="m2"), "message id"),
        (State.ACCEPTED, said(Word.COMPLETION, end_to_end_id="e2"), "end-to-end"),
        (State.RETURNED, said(Word.RETURN, return_id="rtr-2"), "second return"),
        (State.RETURNED, said(Word.COMPLETION), "completion after returned"),
        (State.COMPLETED, said(Word.RETURN), "return after completed"),
        (State.ACCEPTED, said(Word.RECEIPT, receipt="receipt-2"), "second custody receipt"),
        (State.REJECTED, said(Word.PROGRESS), "progress after rejected"),
    ],
)
def test_a_contradiction_names_its_rule(state: State, heard: Said, rule: str) -> None:
    decision = decide(booked(state), heard)
    assert decision.step is Step.CONTRADICT
    assert rule in decision.rule


def test_the_same_word_twice_is_the_same_word() -> None:
    assert decide(booked(State.COMPLETED), said(Word.COMPLETION)).step is Step.SAME
    assert decide(booked(State.RETURNED), said(Word.RETURN)).step is Step.SAME
    assert decide(booked(State.REJECTED), said(Word.REFUSAL)).step is Step.SAME
    assert decide(booked(State.ACCEPTED), said(Word.RECEIPT)).step is Step.SAME


@pytest.mark.parametrize("state", [State.ACCEPTED, State.COMPLETED, State.RETURNED])
def test_a_new_receipt_takes_the_place_only_of_one_that_the_gateway_lost(state: State) -> None:
    other = said(Word.RECEIPT, receipt="receipt-2")
    assert decide(booked(state), other).step is Step.CONTRADICT
    assert decide(booked(state, sent_again=True), other).step is Step.RENEW
    late = booked(state, receipt="receipt-2", superseded=frozenset({"receipt-1"}))
    assert decide(late, said(Word.RECEIPT)).step is Step.SAME
    assert decide(late, said(Word.RECEIPT, receipt="receipt-3")).step is Step.CONTRADICT
    assert decide(booked(state, sent_again=True), said(Word.RECEIPT)).step is Step.SAME


def test_a_receipt_that_comes_after_the_end_is_kept() -> None:
    assert decide(booked(State.COMPLETED, receipt=None), said(Word.RECEIPT)).step is Step.KEEP


def test_a_return_id_serves_one_transfer() -> None:
    assert decide(booked(State.ACCEPTED), said(Word.RETURN), return_id_taken=True).step is Step.CONTRADICT
