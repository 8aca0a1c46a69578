"""Everything that makes up a schema, as sorted lines, asked of pg_catalog: two databases are equal or differ by line.

Works on any supported PostgreSQL. The record of migrations itself is left out.
"""

import psycopg

QUERIES: dict[str, str] = {
    "schema": """
        SELECT n.nspname, pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE {ours}""",
    "relation": """
        SELECT n.nspname, c.relname, c.relkind, c.relpersistence, pg_get_userbyid(c.relowner), c.reloptions,
               c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispartition,
               pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {ours} AND c.relkind <> 'c'""",
    "column": """
        SELECT n.nspname, c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
               format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               pg_get_expr(d.adbin, d.adrelid), a.attstorage, a.attcompression, a.attoptions,
               coalesce(a.attstattarget, -1), co.collname
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation co ON co.oid = a.attcollation
        WHERE {ours} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f')""",
    "constraint": """
        SELECT n.nspname, k.conrelid::regclass, k.contypid::regtype, k.conname, k.convalidated,
               pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
        LEFT JOIN pg_class c ON c.oid = k.conrelid WHERE {ours}""",
    "index": """
        SELECT n.nspname, c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered,
               i.indisreplident
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours}""",
    "sequence": """
        SELECT n.nspname, c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax,
               s.seqmin, s.seqcache, s.seqcycle
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours}""",
    "view": """
        SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {ours} AND c.relkind IN ('v', 'm')""",
    "function": """
        SELECT n.nspname, p.oid::regprocedure, pg_get_userbyid(p.proowner),
               CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) END
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {ours_only}""",
    "trigger": """
        SELECT n.nspname, c.relname, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours} AND NOT t.tgisinternal""",
    "rule": """
        SELECT n.nspname, c.relname, pg_get_ruledef(r.oid)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours}""",
    "policy": """
        SELECT schemaname, tablename, policyname, permissive, roles, cmd, qual, with_check
        FROM pg_policies WHERE tablename <> 'schema_migration'""",
    "type": """
        SELECT n.nspname, t.typname, t.typtype, pg_get_userbyid(t.typowner),
               format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
               (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {ours_only} AND t.typtype IN ('e', 'd', 'c', 'r') AND t.typname <> 'schema_migration'""",
    "statistics": """
        SELECT n.nspname, s.stxname, pg_get_statisticsobjdef(s.oid)
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {ours_only}""",
    "extension": "SELECT extname, extversion FROM pg_extension",
    "comment": """
        SELECT pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
        FROM pg_description d
        WHERE d.objoid >= 16384 AND pg_describe_object(d.classoid, d.objoid, d.objsubid) !~ 'schema_migration'""",
    "grant on relation": """
        SELECT n.nspname, c.relname, pg_get_userbyid(g.grantor), coalesce(r.rolname, 'PUBLIC'), g.privilege_type,
               g.is_grantable
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN aclexplode(coalesce(c.relacl,
            acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) g
        LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE {ours} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')""",
    "grant on column": """
        SELECT n.nspname, c.relname, a.attname, coalesce(r.rolname, 'PUBLIC'), g.privilege_type, g.is_grantable
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN aclexplode(a.attacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
        WHERE {ours} AND NOT a.attisdropped""",
    "grant on function": """
        SELECT n.nspname, p.oid::regprocedure, coalesce(r.rolname, 'PUBLIC'), g.privilege_type, g.is_grantable
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
        LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE {ours_only}""",
    "grant on type": """
        SELECT n.nspname, t.typname, coalesce(r.rolname, 'PUBLIC'), g.privilege_type, g.is_grantable
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        CROSS JOIN aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) g
        LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE {ours_only} AND t.typtype IN ('e', 'd')""",
    "grant on schema": """
        SELECT n.nspname, coalesce(r.rolname, 'PUBLIC'), g.privilege_type, g.is_grantable
        FROM pg_namespace n
        CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
        LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE {ours_only}""",
    "default grant": """
        SELECT n.nspname, pg_get_userbyid(d.defaclrole), d.defaclobjtype, coalesce(r.rolname, 'PUBLIC'),
               g.privilege_type, g.is_grantable
        FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
        CROSS JOIN aclexplode(d.defaclacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee""",
    "setting": """
        SELECT coalesce(d.datname = current_database(), false), pg_get_userbyid(s.setrole), unnest(s.setconfig)
        FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE s.setdatabase = 0 OR d.datname = current_database()""",
}
OURS_ONLY = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
OURS = OURS_ONLY + " AND c.relname IS DISTINCT FROM 'schema_migration' AND c.relname !~ '^schema_migration_'"


def dump(url: str) -> list[str]:
    """The schema of the database at `url`, one line a fact; definitions of several lines are kept whole."""
    lines: list[str] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = pg_catalog")  # so that all names are qualified
        for kind, query in QUERIES.items():
            ours = OURS_ONLY if kind == "schema" else OURS
            text = query.replace("{ours}", ours).replace("{ours_only}", OURS_ONLY)
            rows = connection.execute(text.encode()).fetchall()
            lines += [f"{kind}: {' | '.join(str(value) for value in row)}" for row in rows]
    return sorted(lines)
