import type { EventLoop } from "./event-loop.ts";
import type { SimClient } from "./sim-client.ts";
import type { SimMachine } from "./sim-machine.ts";
import type { SimNet } from "./sim-net.ts";

/** What a silence at the end of a run needs of it. */
export interface SilentWorld {
  readonly net: SimNet;
  /** Those that live, are equal and have a leader. */
  readonly core: readonly SimMachine[];
  readonly clients: readonly SimClient[];
  readonly electionMaxMs: number;
  readonly loop: EventLoop;
  /** Whether one leads, and all that can have what it has. */
  isRecovered(): boolean;
  /** Begins a write of each client, which is repeated until it succeeds. */
  probe(client: SimClient): { readonly isDone: boolean };
}

/** Between whom the network falls silent, when all else is well. */
export interface LastSilence {
  readonly between: "machines" | "clients" | "all";
  readonly forMs: number;
}

/**
 * A network that falls silent and is healed, when nothing else is wrong: nodes and clients must be back soon, however long it lasted. They
 * must not wait for what TCP sends again: that comes as late as the silence was long.
 */
export function checkLastSilence(world: SilentWorld, { between, forMs }: LastSilence): void {
  const { net, core, clients, electionMaxMs, loop, isRecovered } = world;
  const machines = core.map(({ name }) => name);
  const others = clients.map(({ name }) => name);
  const links = [
    ...(between === "clients" ? [] : pairs(machines, machines)),
    ...(between === "machines" ? [] : [...pairs(machines, others), ...pairs(others, machines)]),
  ];
  // Some is on its way when it begins, and some is asked for meanwhile.
  const early = clients.map((client) => world.probe(client));
  loop.runFor(1);
  for (const [from, to] of links) net.cut(from, to, "silent");
  loop.runFor(forMs);
  const late = clients.map((client) => world.probe(client));
  loop.runFor(1);
  for (const [from, to] of links) net.heal(from, to);
  const nodesMsMax = electionsMax * electionMaxMs + nodesSlackMs;
  const clientsMsMax = clientsBackMsMax + (between === "clients" ? 0 : nodesMsMax);
  if (between !== "clients")
    loop.until(`nodes are back after ${forMs} ms of silence between ${between}`, nodesMsMax, isRecovered);
  loop.until(`clients are back after ${forMs} ms of silence between ${between}`, clientsMsMax, () =>
    [...early, ...late].every(({ isDone }) => isDone),
  );
}

function pairs(froms: readonly string[], tos: readonly string[]): [string, string][] {
  return froms.flatMap((from) => tos.filter((to) => to !== from).map((to): [string, string] => [from, to]));
}

/** Two election timeouts by a clock that is slow, and what elections and slow disks add. */
const electionsMax = 2.2;
const nodesSlackMs = 300;
/** Of clients whose nodes are well. */
const clientsBackMsMax = 1000;
