/** A pending call; `cancel` is idempotent and harmless after the call ran. */
export interface Timer {
  cancel(): void;
}

/** Time, and the only way to run something later. */
export interface Clock {
  /** Milliseconds that never go back; meaningless across restarts. */
  monotonicMs(): number;
  /** Milliseconds since 1970, as a whole number. May jump; only for stamps that people or log entries carry. */
  wallMs(): number;
  /** Runs `run` once, not before `ms` milliseconds have passed. */
  after(ms: number, run: () => void): Timer;
  /** Runs `run` once, after all input that has arrived in this turn of the event loop. */
  soon(run: () => void): void;
}
