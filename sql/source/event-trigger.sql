-- Always: also in sessions with session_replication_role = replica, where a key may be lost just as well.
CREATE EVENT TRIGGER :"trigger" ON :"event" EXECUTE FUNCTION tidemark.:"function"();
ALTER EVENT TRIGGER :"trigger" ENABLE ALWAYS;
