import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Prng } from "../../src/env/prng.ts";
import type { Cluster } from "./cluster.ts";
import { atEnd } from "./processes.ts";
import { FrameProxy, type Weather } from "./proxy.ts";

/** A proxy on each way from a server to another one: the ways of what a server dials itself, and sends there. */
export class Proxies {
  readonly #cluster: Cluster;
  readonly #prng: Prng;
  readonly #weather: Weather | undefined;
  /** `rows[from]![to]`; none from a server to itself. */
  readonly rows: (FrameProxy | undefined)[][] = [];

  /** For all servers that there are, from their next start on. */
  constructor(cluster: Cluster, prng: Prng, weather?: Weather) {
    this.#cluster = cluster;
    this.#prng = prng;
    this.#weather = weather;
    this.extend();
    atEnd(() => {
      for (const proxy of this.all) proxy.close();
    });
  }

  get all(): FrameProxy[] {
    return this.rows.flat().filter((proxy) => proxy !== undefined);
  }

  /** Puts proxies before and behind the servers that were added since. */
  extend(): void {
    const { ports, servers } = this.#cluster;
    for (const from of ports.keys()) {
      this.rows[from] ??= [];
      const row = this.rows[from];
      for (const [to, port] of ports.entries())
        if (to >= row.length)
          row.push(to === from ? undefined : new FrameProxy(port, this.#prng.fork(), this.#weather));
      const path = this.#routesPath(from);
      const routes = row.flatMap((proxy, to) => (proxy === undefined ? [] : [[ports[to]!, proxy.port]]));
      // Whoever reads it at this moment reads one or the other.
      writeFileSync(`${path}.new`, JSON.stringify(Object.fromEntries(routes)));
      renameSync(`${path}.new`, path);
      const preload = join(import.meta.dir, "rerouted-dials.js");
      servers[from]!.environment = { BUN_OPTIONS: `--preload=${preload}`, KVRAFT_TEST_ROUTES: path };
    }
  }

  /** Cuts a server off the others, both ways, or joins it to them again; clients still reach it. */
  setCut(node: number, isCut: boolean): void {
    const weather = isCut ? { lossPercent: 100, delayPercent: 0, delayMsMin: 0, delayMsMax: 0 } : undefined;
    for (const [from, row] of this.rows.entries())
      for (const [to, proxy] of row.entries())
        if (proxy !== undefined && (from === node || to === node)) proxy.weather = weather;
  }

  #routesPath(from: number): string {
    return join(this.#cluster.folder, `routes${from + 1}.json`);
  }
}

/** A cluster that is started with proxies between its nodes, and leads. `prepare` is called before each start. */
export async function startProxied(
  cluster: Cluster,
  prng: Prng,
  weather?: Weather,
  prepare: (index: number) => void = () => {},
): Promise<Proxies> {
  const proxies = new Proxies(cluster, prng, weather);
  for (const [index, server] of cluster.servers.entries()) {
    prepare(index);
    server.start();
  }
  await cluster.awaitLeader();
  return proxies;
}
