import type { KVRecord } from "../../src/client/kv-client.ts";
import type { Operation } from "../history/operation.ts";

/** How many puts of a key there were. */
interface Puts {
  acknowledged: number;
  unknown: number;
}

/**
 * Counts the puts to keys that are never deleted. Each that was acknowledged has made one version, and each of unknown
 * outcome one or none: a write that was lost or done twice shows in the number that the database keeps of each key.
 */
export class VersionLedger {
  readonly #puts = new Map<string, Puts>();

  add({ operation, key, outcome }: Operation): void {
    if (operation !== "put") return;
    const puts = this.#puts.get(key) ?? { acknowledged: 0, unknown: 0 };
    this.#puts.set(key, puts);
    if (outcome === "ok") puts.acknowledged++;
    if (outcome === "unknown") puts.unknown++;
  }

  get keys(): string[] {
    return [...this.#puts.keys()];
  }

  /** What is wrong with a key; undefined when nothing is. */
  problemOf(key: string, record: KVRecord | undefined): string | undefined {
    const { acknowledged, unknown } = this.#puts.get(key)!;
    const count = record?.count ?? 0;
    if (count >= acknowledged && count <= acknowledged + unknown) return undefined;
    const what = count < acknowledged ? "a write was lost" : "a write was done twice";
    return (
      `"${key}": ${what}: found ${count} versions, wanted ${acknowledged} (acknowledged) ` +
      `to ${acknowledged + unknown} (with those of unknown outcome)`
    );
  }
}
