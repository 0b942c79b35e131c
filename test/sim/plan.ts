import type { Limits, Timings } from "../../src/config/config.ts";
import type { LastSilence } from "./last-silence.ts";
import type { RestoredFounders } from "./restored-founders.ts";

/** What a power cut does to what was not synced. */
export type Fate = "lost" | "kept" | "torn";

/** A server by its place in the list, or whichever leads at the moment. */
export type Target = number | "leader";

/** One thing that goes wrong at a moment of the first phase. */
export type Incident = Happening & { readonly atMs: number };

/** What goes wrong, and for how long. Times in ms. */
export type Happening =
  | { readonly kind: "kill"; readonly target: Target; readonly forMs: number }
  | { readonly kind: "stop"; readonly target: Target; readonly forMs: number }
  | {
      readonly kind: "power-cut";
      readonly target: Target;
      readonly forMs: number;
      readonly fate: Fate;
      /** Whether the others hear of it, or talk to a machine that does not answer. */
      readonly isTold: boolean;
    }
  | {
      /** The power goes in the middle of what the node does: at an operation of its disk. */
      readonly kind: "power-cut-at";
      readonly target: Target;
      readonly forMs: number;
      readonly fate: Fate;
      /** Only operations like `rename data/store/MANIFEST` with this text in them count; */
      readonly text: string;
      /** and so many of them still happen. */
      readonly operations: number;
      /** Before the next one, or when the node has done what it was about. */
      readonly isAbrupt: boolean;
    }
  | {
      /** The process dies at an operation of its disk, is started again at once, and soon after that the power goes. */
      readonly kind: "crash-twice";
      readonly target: Target;
      readonly forMs: number;
      readonly fate: Fate;
      readonly text: string;
      readonly operations: number;
      readonly afterMs: number;
    }
  | { readonly kind: "blackout"; readonly forMs: number; readonly fate: Fate }
  | { readonly kind: "pause"; readonly target: Target; readonly forMs: number }
  | {
      readonly kind: "partition";
      readonly side: readonly number[];
      readonly direction: "both" | "in" | "out";
      readonly mode: "hold" | "drop";
      readonly forMs: number;
    }
  | {
      readonly kind: "isolate";
      readonly target: Target;
      readonly direction: "both" | "in" | "out";
      readonly mode: "hold" | "drop";
      readonly forMs: number;
    }
  | {
      readonly kind: "broken-link";
      readonly from: number;
      readonly to: number;
      readonly isOneWay: boolean;
      readonly mode: "hold" | "drop";
      readonly forMs: number;
    }
  | { readonly kind: "clog"; readonly target: Target; readonly delayMs: number; readonly forMs: number }
  | { readonly kind: "slow-network"; readonly delayMs: number; readonly forMs: number }
  /** It hears later and later what the others say, and then nothing that it says gets out. */
  | { readonly kind: "echo"; readonly target: Target; readonly delayMs: number; readonly forMs: number }
  | { readonly kind: "reset"; readonly target: Target }
  /** All of its connections are reset again and again. */
  | { readonly kind: "flap"; readonly target: Target; readonly everyMs: number; readonly forMs: number }
  | { readonly kind: "client-cut"; readonly client: number; readonly target: Target; readonly forMs: number }
  | {
      /** All packets between a machine and another one, or all others, are lost, and nobody is told. */
      readonly kind: "silence";
      readonly target: Target;
      readonly other: number | "all";
      readonly direction: "both" | "in" | "out";
      readonly forMs: number;
    }
  /** The same between a client and a machine, or all machines. */
  | {
      readonly kind: "client-silence";
      readonly client: number;
      readonly target: Target | "all";
      readonly direction: "both" | "in" | "out";
      readonly forMs: number;
    }
  /** Between all machines, and those and all clients. */
  | { readonly kind: "total-silence"; readonly forMs: number }
  | {
      /** Nobody answers who is asked for the address of a machine: lookups that begin now hang, also when it is over. */
      readonly kind: "lost-name";
      readonly target: Target;
      readonly by: "machines" | "clients";
      /** Whether its connections are reset too, so that it is dialled. */
      readonly isReset: boolean;
      readonly forMs: number;
    }
  | {
      /**
       * It is away for so long that it needs a snapshot. While it swaps that in, for `takeMs`, another node becomes leader whose log is
       * whole, because its store hung.
       */
      readonly kind: "lag-handover";
      readonly target: number;
      readonly next: number;
      readonly forMs: number;
      readonly takeMs: number;
    }
  | { readonly kind: "disk-hang"; readonly target: Target; readonly forMs: number }
  /** Syncs of the store's worker do not end; the log's do. */
  | { readonly kind: "store-hang"; readonly target: Target; readonly forMs: number }
  | { readonly kind: "disk-slow"; readonly target: Target; readonly writeMs: number; readonly forMs: number }
  | { readonly kind: "disk-full"; readonly target: Target; readonly forMs: number }
  | { readonly kind: "disk-fails"; readonly target: Target; readonly forMs: number }
  /** Its folder is copied as it is, and takes the place of the one that ran on, `forMs` later. */
  | { readonly kind: "set-back"; readonly target: Target; readonly forMs: number; readonly downMs: number }
  | { readonly kind: "bit-rot"; readonly target: Target; readonly chance: number; readonly forMs: number }
  | { readonly kind: "clock-jump"; readonly target: Target; readonly byMs: number }
  | {
      /** It is away for so long that it needs a snapshot, and then loses power at an operation of its disk. */
      readonly kind: "lag-crash";
      readonly target: Target;
      readonly forMs: number;
      readonly downMs: number;
      readonly fate: Fate;
      readonly text: string;
      readonly operations: number;
    }
  /** What whoever runs the cluster does: it takes its time, and may come to nothing. */
  | { readonly kind: "join"; readonly isPromoted: boolean }
  | { readonly kind: "remove"; readonly target: Target }
  /** A new machine for an old one, in one change. */
  | { readonly kind: "replace"; readonly target: Target }
  /** As many new machines as there are take the place of all voters, in one change. */
  | { readonly kind: "replace-all" }
  /** The disk is lost with all that was on it: the machine has to come back as somebody else. */
  | { readonly kind: "wipe"; readonly target: Target; readonly forMs: number }
  | { readonly kind: "transfer"; readonly to: number | "any" }
  /** A member command that is mistyped, repeated, in the wrong order or to the wrong node; `draw` decides whom it names. */
  | { readonly kind: "mistake"; readonly what: Mistake; readonly draw: number }
  /** Two machines get each other's addresses. */
  | { readonly kind: "swap"; readonly target: Target; readonly other: number; readonly forMs: number }
  /** A machine gets a new address, or all of them do at once. */
  | { readonly kind: "move"; readonly target: Target | "all"; readonly forMs: number }
  /** A machine is down, and a new one joins at its address and replaces it; it comes back at another one. */
  | { readonly kind: "reuse"; readonly target: Target; readonly forMs: number };

export const mistakes = [
  "replace a voter by a voter",
  "replace a stranger",
  "replace a node by itself",
  "replace in a chain",
  "replace two by one",
  "replace by a removed node",
  "remove a stranger",
  "remove by a wrong address",
  "promote a stranger",
  "promote too early",
  "repeat",
  "transfer to no voter",
] as const;

export type Mistake = (typeof mistakes)[number];

export type IncidentKind = Incident["kind"];

/** All kinds, in the order of their types. */
export const incidentKinds = [
  "kill",
  "stop",
  "power-cut",
  "power-cut-at",
  "crash-twice",
  "blackout",
  "pause",
  "partition",
  "isolate",
  "broken-link",
  "clog",
  "slow-network",
  "echo",
  "reset",
  "flap",
  "client-cut",
  "silence",
  "client-silence",
  "total-silence",
  "lost-name",
  "lag-handover",
  "disk-hang",
  "store-hang",
  "disk-slow",
  "disk-full",
  "disk-fails",
  "set-back",
  "bit-rot",
  "clock-jump",
  "lag-crash",
  "join",
  "remove",
  "replace",
  "replace-all",
  "wipe",
  "transfer",
  "mistake",
  "swap",
  "move",
  "reuse",
] as const satisfies readonly IncidentKind[];

/** An error of types when a kind is missing above. */
type MissingKind = Exclude<IncidentKind, (typeof incidentKinds)[number]>;
export const hasAllKinds: [MissingKind] extends [never] ? true : MissingKind = true;

/** What is wrong with the network all the time. */
export interface Weather {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  readonly lossPerMille: number;
  readonly duplicatePerMille: number;
  readonly delayPerMille: number;
  readonly delayMsMax: number;
  readonly isChopped: boolean;
}

/** One machine as it was bought. */
export interface MachinePlan {
  readonly clockRate: number;
  readonly skewMs: number;
  readonly writeMsMin: number;
  readonly writeMsMax: number;
  readonly syncMsMax: number;
}

export interface ClientPlan {
  readonly operations: number;
  readonly timeoutMs: number;
  readonly thinkMsMax: number;
  /** Operations that it has under way at one time. */
  readonly depth: number;
  /** Of a thousand operations so many are gets, and deletes; the others are puts. */
  readonly getPerMille: number;
  readonly deletePerMille: number;
}

/**
 * A world and all that will happen to it: drawn from a seed, and nothing else decides what a run does. It is plain data, so
 * that a failing one can be made smaller and run again.
 */
export interface Plan {
  readonly seed: number;
  /** All that were ever bought. */
  readonly machines: readonly MachinePlan[];
  /** So many of them, the first ones, form the cluster; the others wait to be let in. */
  readonly founders: number;
  readonly clients: readonly ClientPlan[];
  readonly keys: number;
  readonly valueBytesMax: number;
  readonly timings: Timings;
  readonly limits: Pick<
    Limits,
    | "memtableBytes"
    | "segmentBytes"
    | "uncommittedBytes"
    | "logTailEntries"
    | "logTailBytes"
    | "agreementEntries"
  >;
  readonly weather: Weather;
  /** Undefined when the founders start empty. Whoever loses a disk has it prepared from the same backup again. */
  readonly restored: RestoredFounders | undefined;
  /** Whether things go wrong already while the cluster is formed; then all machines live on in the second phase. */
  readonly isFormationDisturbed: boolean;
  /** Whether more data may be damaged than can be repaired: then the cluster stands still in the end, and must say nothing wrong. */
  readonly isCareless: boolean;
  readonly incidents: readonly Incident[];
  /** In the end, when all is well again. */
  readonly lastSilence: LastSilence | undefined;
  /** How long the first phase lasts once the cluster is formed. */
  readonly faultsMs: number;
  /** The machines of the second phase by preference: the first majority of those that still can. */
  readonly survivors: readonly number[];
}

/** The world as people read it: a line for what it is, and one for each incident. */
export function describePlan(plan: Plan): string[] {
  const { machines, clients, weather, limits, timings, lastSilence } = plan;
  const operations = clients.reduce((sum, client) => sum + client.operations, 0);
  const depths = clients.map((client) => client.depth).join(" ");
  const clocks = machines.map(
    ({ clockRate, skewMs }) => `×${clockRate}${skewMs === 0 ? "" : ` ${skewMs} ms off`}`,
  );
  const disks = machines.map(({ writeMsMin, writeMsMax }) => `${writeMsMin}..${writeMsMax}`);
  return [
    `world: ${plan.founders} of ${machines.length} nodes, ${clients.length} clients (depth ${depths}), ${operations} operations on ${plan.keys} keys`,
    `  network: ${weather.latencyMsMin}..${weather.latencyMsMax} ms, of 1000 frames ${weather.lossPerMille} lost, ` +
      `${weather.duplicatePerMille} twice, ${weather.delayPerMille} late by up to ${weather.delayMsMax} ms` +
      `${weather.isChopped ? ", in pieces" : ""}`,
    `  clocks: ${clocks.join(", ")}; writes ms: ${disks.join(", ")}`,
    `  limits: memtable ${limits.memtableBytes}, segment ${limits.segmentBytes}, uncommitted ${limits.uncommittedBytes} bytes, ` +
      `tail ${limits.logTailEntries} entries or ${limits.logTailBytes} bytes, agreement every ${limits.agreementEntries} entries; ` +
      `values up to ${plan.valueBytesMax}`,
    `  timings: tick ${timings.tickMs}, heartbeat ${timings.heartbeatMs}, election ${timings.electionMinMs}..` +
      `${timings.electionMaxMs}, disk stall ${timings.diskStallMs} ms`,
    `  survivors: ${plan.survivors.map((place) => `n${place + 1}`).join(" ")}` +
      `${plan.restored === undefined ? "" : "; founded from a backup"}` +
      `${plan.restored?.forgotten === undefined ? "" : `, but for n${plan.restored.forgotten + 1}`}` +
      `${plan.isFormationDisturbed ? "; disturbed while it is formed" : ""}` +
      `${plan.isCareless ? "; a majority may be damaged" : ""}` +
      `${lastSilence === undefined ? "" : `; in the end ${lastSilence.forMs} ms of silence between ${lastSilence.between}`}`,
    ...plan.incidents.map((incident) => `  ${describeIncident(incident)}`),
  ];
}

export function describeIncident(incident: Incident): string {
  const { atMs, kind, ...rest } = incident;
  const details = Object.entries(rest).map(([name, value]) => {
    if (name === "target" && typeof value === "number") return `n${value + 1}`;
    if (name === "target") return String(value);
    return `${name} ${Array.isArray(value) ? value.map((place) => `n${place + 1}`).join("+") : value}`;
  });
  return `at ${atMs} ms ${kind} ${details.join(", ")}`;
}
