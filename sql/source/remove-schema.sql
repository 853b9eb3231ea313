-- What was made, by name and without CASCADE: what somebody else has put there, or built on it, stops this.
DROP FUNCTION IF EXISTS tidemark.on_ddl();
DROP FUNCTION IF EXISTS tidemark.on_drop();
DROP FUNCTION IF EXISTS tidemark.on_rewrite();
DROP FUNCTION IF EXISTS tidemark.note_ddl(text, text);
DROP FUNCTION IF EXISTS tidemark.note_drop(text, text);
DROP FUNCTION IF EXISTS tidemark.note_rewrite(text, text);
DROP FUNCTION IF EXISTS tidemark.tend(oid[]);
DROP FUNCTION IF EXISTS tidemark.emit(jsonb);
DROP FUNCTION IF EXISTS tidemark.describe_object(oid, oid);
DROP FUNCTION IF EXISTS tidemark.describe_type(oid);
DROP FUNCTION IF EXISTS tidemark.describe(oid);
DROP FUNCTION IF EXISTS tidemark.describe_sequence(oid);
DROP FUNCTION IF EXISTS tidemark.sign(bytea);
DROP FUNCTION IF EXISTS tidemark.has_identity(oid);
DROP TABLE IF EXISTS tidemark.secret;
DROP TABLE IF EXISTS tidemark.source_id;
DROP SCHEMA IF EXISTS tidemark;
