"""The guards of the tables: triggers and foreign keys.

A restore of rows alone disables them and enables them again without their mark ALWAYS, so that a
session that replicates would pass them. One that broke off leaves them disabled.
"""

from sqlalchemy import Connection, text

_WEAKENED = text(
    """
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
           array_agg(quote_ident(t.tgname)) FILTER (WHERE NOT t.tgisinternal) AS triggers,
           bool_or(t.tgisinternal AND t.tgenabled = 'D') AS foreign_keys
      FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'ledger')
     GROUP BY n.nspname, c.relname
    HAVING bool_or(t.tgenabled <> CASE WHEN t.tgisinternal THEN 'O' ELSE 'A' END)
     ORDER BY 1
    """
)


def weakened(conn: Connection) -> list[str]:
    """Return the tables of which a trigger or a foreign key doesn't hold as it was made."""
    return [str(row.name) for row in conn.execute(_WEAKENED)]


def put_back(conn: Connection) -> list[str]:
    """Let every guard hold as it was made; return the tables where one didn't.

    Needs the owner of the tables, and a superuser where foreign keys are disabled.
    """
    found = conn.execute(_WEAKENED).all()
    for table in found:
        if table.foreign_keys:
            conn.execute(text(f"ALTER TABLE {table.name} ENABLE TRIGGER ALL"))
        for trigger in table.triggers or ():
            conn.execute(text(f"ALTER TABLE {table.name} ENABLE ALWAYS TRIGGER {trigger}"))
    return [str(table.name) for table in found]
