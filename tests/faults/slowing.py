"""Each step takes as long on a quick machine as on a slow one: none outruns what happens to it."""

from contextlib import contextmanager

from django.db import connection


@contextmanager
def slowed(table, seconds=0.05, *, when=""):
    """Whoever writes to `table` takes so much longer: for each statement, or for each row of
    which `when` is true (SQL over NEW)."""
    each = f"ROW WHEN ({when})" if when else "STATEMENT"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE FUNCTION faults_slow() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
            CREATE TRIGGER faults_slow AFTER INSERT OR UPDATE ON {table}
                FOR EACH {each} EXECUTE FUNCTION faults_slow()"""
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION faults_slow CASCADE")
