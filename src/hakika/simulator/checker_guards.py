"""Whether the databases still refuse what docs/invariants.md says that they refuse.

A recount tells that nothing is wrong now; a guard that was dropped or switched off tells that it could have been,
or will be. Names are those of the migrations. A trigger of the core fires in every replication role, one of
the gateway at least in the usual one. The applications may add to what is append-only, and no more.
"""

from typing import LiteralString

from hakika.simulator.checker_findings import Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot

CORE_TRIGGERS = (
    "entry_append_only", "entry_fits", "batch_append_only", "anchor_append_only", "incarnation_append_only",
    "incarnation_stays", "account_stays", "account_follows", "account_opens_empty", "wallet_stays",
    "wallet_account_stays", "bank_position_stays",
)  # fmt: skip
CORE_CONSTRAINTS = (
    "account_debits_within_credits", "account_credits_within_debits", "account_within_ceiling", "batch_pkey",
    "batch_head", "batch_first", "batch_follows", "entry_pkey", "entry_place", "entry_shape",
    "entry_balances_not_negative", "anchor_head", "anchor_first", "anchor_follows", "anchor_heads",
    "wallet_account_account_key", "bank_position_account_key",
)  # fmt: skip
CORE_INDEXES = ("entry_resolved_once", "account_house")
GATEWAY_TRIGGERS = (
    "transfer_bank", "transfer_begins", "transfer_begins_attempted", "transfer_keeps_order", "transfer_mark_stays",
    "transfer_end_stays", "transfer_not_rejected", "transfer_follows", "transfer_no_delete", "transfer_no_truncate",
    "attempt_fits", "attempt_closed_stays", "attempt_keeps_identity", "attempt_token_rises",
    "attempt_unsent_by_holder", "attempt_no_delete", "attempt_no_truncate", "return_guard", "return_change_guard",
    "return_no_delete", "return_no_truncate", "outgoing_bank", "outgoing_keeps_bytes", "outgoing_no_delete",
    "outgoing_no_truncate", "outbox_fits", "outbox_carried", "outbox_told_once", "outbox_no_delete",
    "outbox_no_truncate", "message_bank", "message_append_only", "message_no_truncate", "recall_append_only",
    "recall_no_truncate", "break_append_only", "break_no_truncate", "incarnation_append_only",
    "incarnation_no_truncate", "bank_keeps_id", "bank_no_delete", "bank_no_truncate", "bank_key_change_guard",
    "bank_key_no_delete", "bank_key_no_truncate", "core_incarnation_no_delete", "core_incarnation_no_truncate",
)  # fmt: skip
GATEWAY_CONSTRAINTS = (
    "message_pkey", "transfer_pkey", "transfer_bank_uetr_key", "transfer_tracking_key", "transfer_check",
    "transfer_check1", "attempt_pkey", "attempt_transfer_number_key", "attempt_check", "attempt_check1",
    "attempt_check2", "attempt_number_max", "payment_return_pkey", "payment_return_return_id_key",
    "outgoing_message_pkey",
)  # fmt: skip
GATEWAY_INDEXES = ("attempt_one_open", "outbox_once")
HEALTH_TRIGGERS = (
    "incident_append_only", "incident_event_append_only", "incident_event_guard", "incident_event_no_truncate",
    "incident_no_truncate", "incident_open_cause", "incident_opens", "judgement_append_only", "judgement_guard",
    "judgement_no_truncate", "detector_state_guard", "maintenance_no_delete", "maintenance_no_truncate",
    "publication_append_only", "publication_no_truncate", "statement_guard", "statement_no_delete",
    "statement_no_truncate", "statement_number_guard",
)  # fmt: skip
HEALTH_CONSTRAINTS = (
    "incident_pkey", "incident_event_pkey", "incident_event_act_key", "incident_event_form",
    "incident_event_kind_check", "incident_event_incident_fkey", "judgement_once", "maintenance_pkey",
    "open_cause_pkey", "open_cause_incident_key",
)  # fmt: skip

TRIGGERS: LiteralString = """
SELECT wanted.name, t.tgenabled::text, c.relname::text FROM unnest(%s::text[]) AS wanted (name)
LEFT JOIN (pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'public'::regnamespace)
    ON t.tgname = wanted.name AND NOT t.tgisinternal
ORDER BY 1
"""
CONSTRAINTS: LiteralString = """
SELECT wanted.name, c.convalidated FROM unnest(%s::text[]) AS wanted (name)
LEFT JOIN pg_constraint c ON c.conname = wanted.name AND c.connamespace = 'public'::regnamespace ORDER BY 1
"""
INDEXES: LiteralString = """
SELECT wanted.name, i.indisunique AND i.indisvalid FROM unnest(%s::text[]) AS wanted (name)
LEFT JOIN (pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relnamespace = 'public'::regnamespace)
    ON c.relname = wanted.name
ORDER BY 1
"""
# What the application's user may do to tables that are only ever added to.
GRANTS: LiteralString = """
SELECT r.rolname::text, t.name, p.name
FROM pg_roles r CROSS JOIN unnest(%s::text[]) AS t (name)
CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS p (name)
WHERE r.rolname = %s AND (has_table_privilege(r.oid, to_regclass('public.' || t.name), p.name)
    OR (p.name = 'UPDATE' AND has_any_column_privilege(r.oid, to_regclass('public.' || t.name), p.name)))
ORDER BY 1, 2, 3
"""
CORE_APPEND_ONLY = ("entry", "batch", "anchor")
GATEWAY_APPEND_ONLY = ("message", "recall", "reconciliation_break", "incarnation")
HEALTH_APPEND_ONLY = ("incident", "incident_event", "judgement", "open_cause", "publication")


def check_core_guards(core: DatabaseSnapshot, tally: Tally) -> None:
    """I29 for the core's database."""
    _check_triggers(core, tally, CORE_TRIGGERS, enabled="A")
    _check_constraints(core, tally, CORE_CONSTRAINTS, CORE_INDEXES)
    _check_grants(core, tally, CORE_APPEND_ONLY, "hakika_core_app")


def check_gateway_guards(gateway: DatabaseSnapshot, tally: Tally) -> None:
    """I29 for the gateway's database."""
    _check_triggers(gateway, tally, GATEWAY_TRIGGERS, enabled="AO")
    _check_constraints(gateway, tally, GATEWAY_CONSTRAINTS, GATEWAY_INDEXES)
    _check_grants(gateway, tally, GATEWAY_APPEND_ONLY, "hakika_gateway_app")


def check_health_guards(health: DatabaseSnapshot, tally: Tally) -> None:
    """I29 for health's database."""
    _check_triggers(health, tally, HEALTH_TRIGGERS, enabled="AO")
    _check_constraints(health, tally, HEALTH_CONSTRAINTS, ())
    _check_grants(health, tally, HEALTH_APPEND_ONLY, "hakika_health_app")


def _check_triggers(snapshot: DatabaseSnapshot, tally: Tally, names: tuple[str, ...], *, enabled: str) -> None:
    for name, state, table in snapshot.rows(TRIGGERS, (list(names),)):
        if state is None:
            tally.find("I29", f"{snapshot.name} trigger {name}", "is not there")
        elif state not in enabled:
            tally.find("I29", f"{snapshot.name} trigger {name}", f"on {table} is switched off")


def _check_constraints(
    snapshot: DatabaseSnapshot, tally: Tally, constraints: tuple[str, ...], indexes: tuple[str, ...]
) -> None:
    for kind, statement, names in (("constraint", CONSTRAINTS, constraints), ("index", INDEXES, indexes)):
        for name, valid in snapshot.rows(statement, (list(names),)):
            if valid is None:
                tally.find("I29", f"{snapshot.name} {kind} {name}", "is not there")
            elif not valid:
                tally.find("I29", f"{snapshot.name} {kind} {name}", "is not enforced")


def _check_grants(snapshot: DatabaseSnapshot, tally: Tally, tables: tuple[str, ...], user: str) -> None:
    for role, table, privilege in snapshot.rows(GRANTS, (list(tables), user)):
        tally.find("I29", f"{snapshot.name} table {table}", f"{role} may {privilege}")
