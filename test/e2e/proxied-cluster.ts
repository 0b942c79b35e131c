import type { Prng } from "../../src/env/prng.ts";
import type { Cluster, Overrides } from "./cluster.ts";
import { atEnd } from "./processes.ts";
import { FrameProxy, type Weather } from "./proxy.ts";

/** The proxies between the nodes: `proxies[from]![to]` is what node `from` has in its list in the place of `to`. */
export type Proxies = readonly (readonly (FrameProxy | undefined)[])[];

/**
 * Restarts a formed cluster with proxies between its nodes. Formation compares the lists and so needs equal ones;
 * afterwards members know each other by their ids, and each node's list may name other ways to the others.
 * `overridesOf` gives each node a configuration of its own; without it they keep that of the cluster.
 */
export async function putProxiesBetween(
  cluster: Cluster,
  prng: Prng,
  weather?: Weather,
  overridesOf?: (index: number) => Overrides,
): Promise<Proxies> {
  const proxies = cluster.ports.map((_, from) =>
    cluster.ports.map((port, to) => (from === to ? undefined : new FrameProxy(port, prng.fork(), weather))),
  );
  atEnd(() => {
    for (const proxy of proxies.flat()) proxy?.close();
  });
  for (const index of cluster.ports.keys()) {
    await cluster.stop(index);
    cluster.configure(
      index,
      proxies[index]!.map((proxy, to) => proxy?.port ?? cluster.ports[to]!),
      overridesOf?.(index),
    );
  }
  for (const index of cluster.ports.keys()) cluster.restart(index);
  return proxies;
}

/** Cuts a node off its peers, both ways, or joins it to them again; clients that do not use the proxies still reach it. */
export function setCut(proxies: Proxies, node: number, isCut: boolean): void {
  const weather = isCut ? { lossPercent: 100, delayPercent: 0, delayMsMin: 0, delayMsMax: 0 } : undefined;
  for (const [from, row] of proxies.entries())
    for (const [to, proxy] of row.entries())
      if (proxy !== undefined && (from === node || to === node)) proxy.weather = weather;
}
