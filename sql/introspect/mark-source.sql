-- Whether a mark would be captured: one row. $1: how the slots of this source's captures begin. Fails without USAGE on schema tidemark.
SELECT pg_is_in_recovery()                            AS "inRecovery",
       to_regclass('tidemark.source_id') IS NOT NULL  AS "installed",
       to_regclass('tidemark.secret') IS NOT NULL     AS "hasSecret",
       EXISTS (SELECT FROM pg_replication_slots
                WHERE database = current_database() AND starts_with(slot_name::text, $1)
                  AND wal_status IS DISTINCT FROM 'lost') AS "hasSlot";
