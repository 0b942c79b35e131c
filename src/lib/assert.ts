/** A broken invariant: a bug in kvraft, never a fault of its input. Nothing but `main` catches it. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Stays on in the shipped binary: a replica that stops is recoverable, one that lies is not. */
export function assert(condition: boolean, why: string): asserts condition {
  if (!condition) throw new AssertionError(why);
}

/** The `default:` of a switch over a closed union: a new variant makes each such line a type error. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable variant ${JSON.stringify(value)}`);
}
