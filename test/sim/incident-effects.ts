import { unreachable } from "../../src/lib/assert.ts";
import type { Incident, IncidentKind } from "./plan.ts";
import type { SimMachine } from "./sim-machine.ts";
import type { SimNet } from "./sim-net.ts";

/** How often something of a kind was begun, and how often it did something. */
export interface Effect {
  begun: number;
  met: number;
}

export interface EffectWorld {
  readonly net: SimNet;
  readonly machines: readonly SimMachine[];
  /** How often the operator has done what a kind of incident asks for. */
  done(kind: IncidentKind): number;
}

interface Open {
  readonly effect: Effect;
  readonly gauge: () => number;
  readonly before: number;
}

/**
 * Counts the incidents that had an effect: a partition through which nobody sent anything, or a full disk to which nobody wrote, shows
 * nothing. Each kind has a gauge, a number that grows when the fault does something; it is read at the fault's beginning and at its end.
 */
export class IncidentEffects {
  readonly #world: EffectWorld;
  readonly #effects = new Map<IncidentKind, Effect>();
  readonly #open = new Set<Open>();

  constructor(world: EffectWorld) {
    this.#world = world;
  }

  /** `machine` is the one that is hit, if it is one. Yields what has to be called at the end of the fault, if that is known. */
  begin(incident: Incident, machine: SimMachine | undefined): () => void {
    const effect = this.#effects.get(incident.kind) ?? { begun: 0, met: 0 };
    this.#effects.set(incident.kind, effect);
    effect.begun++;
    const gauge = this.#gaugeOf(incident, machine);
    const open: Open = { effect, gauge, before: gauge() };
    this.#open.add(open);
    return () => this.#close(open);
  }

  /** All that has begun counts as over. */
  get counts(): ReadonlyMap<IncidentKind, Effect> {
    for (const open of this.#open) this.#close(open);
    return this.#effects;
  }

  #close(open: Open): void {
    if (this.#open.delete(open) && open.gauge() > open.before) open.effect.met++;
  }

  #gaugeOf(incident: Incident, machine: SimMachine | undefined): () => number {
    const { net, machines } = this.#world;
    const { kind } = incident;
    switch (kind) {
      case "kill":
      case "stop":
      case "power-cut":
      case "lag-handover":
        return () => machine!.deaths;
      case "blackout":
        return () => machines.reduce((sum, { deaths }) => sum + deaths, 0);
      case "power-cut-at":
      case "crash-twice":
      case "lag-crash":
        return () => machine!.disk.counts.stops;
      case "pause":
        return () => machine!.pauses;
      case "clock-jump":
        return () => machine!.clockJumps;
      case "partition":
        return () => incident.side.reduce((sum, place) => sum + net.hinderedAt(machines[place]!.name), 0);
      case "broken-link":
        return () => net.hinderedAt(machines[incident.from]!.name);
      case "isolate":
      case "clog":
      case "echo":
      case "silence":
        return () => net.hinderedAt(machine!.name);
      case "client-cut":
      case "client-silence":
        return () => net.hinderedAt(`c${incident.client + 1}`);
      case "slow-network":
      case "total-silence":
        return () => net.hinderedAt(undefined);
      case "reset":
      case "flap":
        return () => net.counts.resets;
      case "lost-name":
        return () => net.counts.hangingLookups;
      case "disk-slow":
        return () => machine!.disk.counts.durableWrites;
      case "disk-hang":
      case "store-hang":
      case "disk-full":
      case "disk-fails":
        return () => machine!.disk.counts.hindered;
      case "set-back":
        return () => Number(machine!.wasSetBack);
      case "bit-rot":
        return () => machine!.disk.counts.flips;
      case "swap":
        return () => machine!.moves;
      case "move":
        return () => machines.reduce((sum, { moves }) => sum + moves, 0);
      case "wipe":
        return () => machine!.disk.counts.wipes;
      case "join":
      case "remove":
      case "replace":
      case "replace-all":
      case "reuse":
      case "mistake":
      case "transfer":
        return () => this.#world.done(kind);
      default:
        return unreachable(incident);
    }
  }
}

/** Kinds whose effect shows after the time for which they hold, or not at a certain time. */
export const lateKinds: ReadonlySet<IncidentKind> = new Set([
  "power-cut-at",
  "crash-twice",
  "lag-crash",
  "echo",
  "stop",
  "wipe",
  "set-back",
  "reuse",
]);
