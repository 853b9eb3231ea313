/** One thing to do on the source. */
export interface Step {
  /** `object`: all of these in one transaction. `table` and `slot`: each on its own, in this order. */
  readonly kind: 'slot-drop' | 'object' | 'table' | 'slot';
  readonly title: string;
  readonly sql: string;
}
