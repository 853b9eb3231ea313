/**
 * Switches off, for a session, the timeouts that not every server knows: a role may have them, and a session that only
 * looks now and then is idle for longer. idle_session_timeout came with 14, transaction_timeout with 17.
 */
export const LIFT_TIMEOUTS =
  "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('transaction_timeout', 'idle_session_timeout')";
