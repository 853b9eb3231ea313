/**
 * What a check says about the world. A finding is not an error: the check ran, and the system is (not) as it
 * should be. An error means that the check could not run.
 */
export interface Finding {
  readonly level: 'ok' | 'info' | 'warning' | 'error';
  /** Stable name of the check, like `source.tls`. */
  readonly check: string;
  readonly message: string;
  readonly remedy?: string;
}
