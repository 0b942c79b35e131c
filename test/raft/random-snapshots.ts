import type { Prng } from "../../src/env/prng.ts";
import type { Cluster, Node } from "./cluster.ts";
import type { Coverage } from "./random-run.ts";

/** What the owners of the nodes do about snapshots: they fetch one from anybody who has more, and take their time. */
export class RandomSnapshots {
  readonly #prng: Prng;
  readonly #cluster: Cluster;
  readonly #coverage: Coverage;
  readonly #note: (line: () => string) => void;

  constructor(prng: Prng, cluster: Cluster, coverage: Coverage, note: (line: () => string) => void) {
    this.#prng = prng;
    this.#cluster = cluster;
    this.#coverage = coverage;
    this.#note = note;
  }

  /** One step of one node: the picture is taken, is on the disk some rounds later, and the core hears of it later still. */
  round(node: Node): void {
    const prng = this.#prng;
    if (node.raft === undefined) return;
    if (node.isSwapped) {
      if (prng.chance(1, 2)) this.#restore(node);
    } else if (node.fetched !== undefined) {
      if (prng.chance(1, 5)) this.#cluster.swap(node.id);
    } else if (node.isOffered && prng.chance(1, 2)) this.#fetch(node);
  }

  /** In peace nobody waits. */
  settle(node: Node): void {
    if (node.isOffered && node.fetched === undefined && !node.isSwapped) this.#fetch(node);
    if (node.fetched !== undefined) this.#cluster.swap(node.id);
    if (node.isSwapped) this.#restore(node);
  }

  #fetch(node: Node): void {
    const sources = [...this.#cluster.nodes.values()].filter(
      ({ raft, applied }) => raft !== undefined && applied.length > node.applied.length,
    );
    if (sources.length === 0) return;
    const source = this.#prng.pick(sources);
    this.#note(() => `${node.id} fetches the state of ${source.id}`);
    this.#cluster.fetch(node.id, source.id);
  }

  #restore(node: Node): void {
    this.#note(() => `${node.id} restores`);
    this.#coverage.snapshots++;
    const { lastIndex } = node.disk;
    this.#cluster.restore(node.id);
    if (node.write?.start !== undefined && lastIndex > 0) this.#coverage.logsBegunAnew++;
  }
}
