import type { Prng } from "../../src/env/prng.ts";
import type { Links } from "./links.ts";
import type { Nodes } from "./nodes.ts";

/** What faults act on. */
export interface Stage {
  readonly nodes: Nodes;
  readonly links: Links;
  readonly clientCount: number;
}

/** A fault that has begun. */
export interface Begun {
  /** Who is hit, for people. */
  readonly whom: string;
  /** For how long, in ms; then `heal` is called, once. */
  readonly holdMs: number;
  readonly heal: () => void | Promise<void>;
  /** Whether it did something, asked after `heal`; one without this has done so when it began. */
  readonly met?: () => boolean;
}

/** One line of a menu of faults. */
export interface Fault {
  readonly name: string;
  /** It is drawn so often, compared with the others of its menu. */
  readonly weight: number;
  /** Begins it; undefined when there is nobody it could hit now. */
  readonly begin: (stage: Stage, prng: Prng) => Promise<Begun | undefined>;
}

/** Whom a fault hits: nodes that no other fault holds, or nobody. */
export type Choice = (stage: Stage, prng: Prng) => Promise<readonly number[]>;

export function namesOf(indexes: readonly number[]): string {
  if (indexes.length === 0) return "nobody";
  const numbers = indexes.map((index) => index + 1).join(", ");
  return indexes.length === 1 ? `node ${numbers}` : `nodes ${numbers}`;
}
