import type { Prng } from "../../src/env/prng.ts";
import { type Fate, type Happening, type IncidentKind, mistakes, type Target } from "./plan.ts";

const fates: readonly Fate[] = ["lost", "kept", "torn"];

/** Half of all incidents meet the leader: the others matter less. */
function drawTarget(prng: Prng, nodes: number): Target {
  return prng.chance(1, 2) ? "leader" : prng.int(0, nodes - 1);
}

/** One incident of that kind, among so many machines. */
export function drawIncident(prng: Prng, kind: IncidentKind, nodes: number, clients: number): Happening {
  const target = drawTarget(prng, nodes);
  const forMs = prng.pick([prng.int(10, 300), prng.int(300, 1500), prng.int(1500, 4000)]);
  const mode = prng.pick(["hold", "drop"] as const);
  const direction = prng.pick(["both", "both", "in", "out"] as const);
  switch (kind) {
    case "power-cut":
      return { kind, target, forMs, fate: prng.pick(fates), isTold: prng.chance(1, 2) };
    case "power-cut-at":
      return { kind, target, forMs, ...drawMoment(prng), isAbrupt: prng.chance(1, 2) };
    case "crash-twice":
      return { kind, target, forMs, ...drawMoment(prng), afterMs: prng.int(1, 120) };
    case "blackout":
      return { kind, forMs: Math.min(forMs, 1000), fate: prng.pick(fates) };
    case "partition": {
      const side = drawOrder(prng, nodes).slice(0, prng.int(1, Math.max(1, nodes >> 1)));
      return { kind, side, direction, mode, forMs };
    }
    case "isolate":
      return { kind, target, direction, mode, forMs };
    case "broken-link": {
      const [from, to] = drawOrder(prng, nodes);
      return { kind, from: from!, to: to ?? from!, isOneWay: prng.chance(1, 2), mode, forMs };
    }
    case "clog":
      return { kind, target, delayMs: prng.int(20, 800), forMs };
    case "slow-network":
      return { kind, delayMs: prng.int(50, 500), forMs };
    case "echo":
      return { kind, target: "leader", delayMs: prng.int(400, 1000), forMs: prng.int(300, 1500) };
    case "reset":
      return { kind, target };
    case "client-cut":
      return { kind, client: prng.int(0, clients - 1), target, forMs };
    case "silence":
      return {
        kind,
        target,
        other: prng.chance(1, 2) ? "all" : prng.int(0, nodes - 1),
        ...drawSilence(prng),
      };
    case "client-silence": {
      const client = prng.int(0, clients - 1);
      return { kind, client, target: prng.chance(1, 2) ? "all" : target, ...drawSilence(prng) };
    }
    case "lost-name": {
      const by = prng.pick(["machines", "machines", "clients"] as const);
      return { kind, target, by, isReset: prng.chance(3, 4), forMs };
    }
    case "lag-handover": {
      const [lagging, next] = drawOrder(prng, nodes);
      return {
        kind,
        target: lagging!,
        next: next ?? lagging!,
        forMs: prng.int(800, 3000),
        takeMs: prng.int(120, 520),
      };
    }
    case "total-silence":
      return { kind, forMs: drawSilence(prng).forMs };
    case "store-hang":
      return { kind, target, forMs: prng.int(2500, 7000) };
    case "disk-slow":
      return { kind, target, writeMs: prng.int(50, 1500), forMs };
    case "flap":
      return { kind, target, everyMs: prng.int(5, 400), forMs };
    case "lag-crash":
      return { kind, target, ...drawLagCrash(prng) };
    case "join":
      return { kind, isPromoted: prng.chance(3, 4) };
    case "replace-all":
      return { kind };
    case "transfer":
      return { kind, to: prng.chance(1, 2) ? "any" : prng.int(0, nodes - 1) };
    case "mistake":
      return { kind, what: prng.chance(1, 4) ? "promote too early" : prng.pick(mistakes), draw: prng.u32() };
    case "swap":
      return { kind, target, other: prng.int(0, nodes - 1), forMs: Math.min(forMs, 1000) };
    case "move":
      return { kind, target: prng.chance(1, 3) ? "all" : target, forMs: Math.min(forMs, 1000) };
    case "set-back":
      return { kind, target, forMs: prng.int(100, 4000), downMs: prng.int(10, 1000) };
    case "bit-rot":
      return { kind, target, chance: prng.u32(), forMs };
    case "clock-jump":
      return { kind, target, byMs: prng.pick([-3_600_000, -5000, 5000, 3_600_000, toYear2100Ms]) };
    default:
      return { kind, target, forMs };
  }
}

/** From the year of the simulated clocks. */
const toYear2100Ms = 2_402_444_800_000;

/** Often long: what a silence does to a connection lasts as long again. */
function drawSilence(prng: Prng): { readonly direction: "both" | "in" | "out"; readonly forMs: number } {
  return {
    direction: prng.pick(["both", "both", "in", "out"] as const),
    forMs: prng.pick([prng.int(100, 1500), prng.int(1500, 5000), prng.int(5000, 13_000)]),
  };
}

/** An operation of a disk, and what becomes of what was not synced. */
function drawMoment(prng: Prng): { readonly text: string; readonly operations: number; readonly fate: Fate } {
  return {
    text: prng.pick(["/store", "/log", "", "sync-folder", "sync-folder data/store", "rename"]),
    operations: prng.int(0, 12),
    fate: prng.pick(["torn", "torn", "lost", "kept"]),
  };
}

/** It needs a snapshot when it comes back, and stops in the midst of taking it over, or of dropping its log. */
function drawLagCrash(prng: Prng) {
  return {
    forMs: prng.int(800, 3000),
    downMs: prng.int(10, 600),
    fate: prng.pick(fates),
    text: prng.pick(installMoments),
    operations: prng.int(0, 3),
  };
}

/** Operations of a disk that divide the steps of taking over a state, and of dropping a log. */
const installMoments = [
  "rename data/store/MANIFEST",
  "rename data/store/MANIFEST",
  "sync-folder data/store",
  "data/log/",
  "rename data/log/",
  "sync-folder data/log",
  "remove data/log/",
  "write data/store/0",
];

/** All places in random order. */
export function drawOrder(prng: Prng, count: number): number[] {
  const places = Array.from({ length: count }, (_, place) => place);
  for (let at = count - 1; at > 0; at--) {
    const other = prng.int(0, at);
    [places[at], places[other]] = [places[other]!, places[at]!];
  }
  return places;
}
