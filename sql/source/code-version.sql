-- Which version of the functions is installed: a later one replaces them.
COMMENT ON SCHEMA tidemark IS :'comment';
