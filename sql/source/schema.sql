-- Tidemark's own schema on a source, and the random id that tells this source from its clones. Written before the slot
-- exists, so that nothing of it is in the change stream.
CREATE SCHEMA IF NOT EXISTS tidemark;
REVOKE ALL ON SCHEMA tidemark FROM PUBLIC;
CREATE TABLE IF NOT EXISTS tidemark.source_id (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id       uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO tidemark.source_id DEFAULT VALUES ON CONFLICT DO NOTHING;
