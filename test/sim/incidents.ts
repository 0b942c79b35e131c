import type { Address } from "../../src/lib/address.ts";
import { unreachable } from "../../src/lib/assert.ts";
import { rot } from "./bit-rot.ts";
import { type Effect, IncidentEffects, lateKinds } from "./incident-effects.ts";
import type { SimOperator } from "./operator.ts";
import { describeIncident, type Incident, type IncidentKind, type Plan, type Target } from "./plan.ts";
import type { SimMachine } from "./sim-machine.ts";
import type { CutMode, SimNet } from "./sim-net.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

export interface IncidentWorld {
  readonly timeline: Timeline;
  readonly net: SimNet;
  readonly trace: Trace;
  readonly machines: readonly SimMachine[];
  readonly clients: readonly { readonly name: string }[];
  readonly operator: SimOperator;
  /** Whether its data may be lost for good: with one machine more there may be no majority to repair anything. */
  mayLose(machine: SimMachine): boolean;
  idOf(machine: SimMachine): string | undefined;
  /** Whether every machine in use is a member by now, and may get another address: founders find each other by their list. */
  mayMove(): boolean;
  /** Whether its data may be damaged, so that it can tell. */
  mayDamage(machine: SimMachine): boolean;
}

/** The addresses that a machine may have by itself. */
export function hostsOf({ name }: SimMachine): string[] {
  return [name, `${name}b`];
}

/** Where servers are, or will be when they are moved. */
export function addressesOf(machines: readonly SimMachine[], { incidents }: Plan): Address[] {
  if (!incidents.some(({ kind }) => kind === "move")) return machines.map(({ address }) => address);
  return machines.flatMap((machine) => hostsOf(machine).map((host) => ({ host, port: 5001 })));
}

/** How the delay of an echo grows. */
const echoStepMs = 250;
const echoEveryMs = 300;

type Direction = "both" | "in" | "out";

/** The ways out of a machine to another one, into it, or both. */
function linksBetween(inside: string, outside: string, direction: Direction): [string, string][] {
  const links: [string, string][] = [];
  if (direction !== "in") links.push([inside, outside]);
  if (direction !== "out") links.push([outside, inside]);
  return links;
}

/** Makes incidents happen at their time, and end. `end` ends all of them at once. */
export class Incidents {
  readonly #world: IncidentWorld;
  readonly #effects: IncidentEffects;
  #isOver = false;

  constructor(world: IncidentWorld, incidents: readonly Incident[]) {
    this.#world = world;
    const { net, machines, operator } = world;
    this.#effects = new IncidentEffects({ net, machines, done: (kind) => operator.done(kind) });
    for (const incident of incidents)
      world.timeline.after(incident.atMs, undefined, () => {
        if (!this.#isOver) this.#count(incident);
      });
  }

  /** Everything that lasts is over, but pauses that have begun; and nothing more begins. */
  end(): void {
    this.#isOver = true;
    const { net, machines } = this.#world;
    net.healAll();
    for (const machine of machines) {
      machine.isHeldDown = false;
      const { weather } = machine;
      machine.disk.stopAt("", Number.POSITIVE_INFINITY, () => {});
      weather.isHung = false;
      weather.storeHangsUntilMs = 0;
      weather.isFull = false;
      weather.failSyncs = false;
      weather.writeMsMin = machine.plan.writeMsMin;
      weather.writeMsMax = Math.min(weather.writeMsMax, 4);
    }
  }

  /** How often incidents of each kind did something. */
  get effects(): ReadonlyMap<IncidentKind, Effect> {
    return this.#effects.counts;
  }

  #count(incident: Incident): void {
    const target = "target" in incident && incident.target !== "all" ? incident.target : undefined;
    const over = this.#effects.begin(incident, target === undefined ? undefined : this.#machine(target));
    this.#begin(incident);
    if ("forMs" in incident && !lateKinds.has(incident.kind)) this.#later(incident.forMs, over);
  }

  #begin(incident: Incident): void {
    const { trace, machines, operator } = this.#world;
    trace.add(() => `── ${describeIncident(incident)}`);
    switch (incident.kind) {
      case "kill":
        return this.#down(this.#machine(incident.target), incident.forMs, (machine) => machine.kill());
      case "stop":
        return this.#down(this.#machine(incident.target), incident.forMs, (machine) => machine.stop());
      case "power-cut":
        return this.#down(this.#machine(incident.target), incident.forMs, (machine) =>
          machine.cutPower(incident.fate, incident.isTold),
        );
      case "power-cut-at":
        return this.#cutPowerAt(this.#machine(incident.target), incident);
      case "crash-twice":
        return this.#crashTwice(this.#machine(incident.target), incident);
      case "blackout":
        for (const each of machines)
          this.#down(each, incident.forMs, (machine) => machine.cutPower(incident.fate, true));
        return;
      case "pause":
        return this.#machine(incident.target).pause(incident.forMs);
      case "partition":
        return this.#partition(incident.side, incident);
      case "isolate":
        return this.#partition([this.#machine(incident.target).place], incident);
      case "broken-link":
        return this.#breakLink(incident);
      case "clog":
        return this.#clog(this.#machine(incident.target), incident.delayMs, incident.forMs);
      case "slow-network":
        return this.#slowNetwork(incident.delayMs, incident.forMs);
      case "echo":
        return this.#echo(this.#machine(incident.target), incident);
      case "reset":
        return this.#reset(this.#machine(incident.target));
      case "flap":
        return this.#flap(this.#machine(incident.target), incident.everyMs, incident.forMs);
      case "lag-crash":
        return this.#lagAndCrash(this.#machine(incident.target), incident);
      case "join":
        return operator.join(incident.isPromoted);
      case "remove":
        return operator.remove(this.#machine(incident.target));
      case "replace":
        return operator.replace(this.#machine(incident.target));
      case "replace-all":
        return operator.replaceAll();
      case "wipe":
        return this.#wipe(this.#machine(incident.target), incident.forMs);
      case "set-back":
        return this.#setBack(this.#machine(incident.target), incident.forMs, incident.downMs);
      case "transfer":
        return operator.transfer(incident.to === "any" ? undefined : machines[incident.to]!);
      case "silence":
        return this.#silence(this.#machine(incident.target), incident);
      case "client-silence":
        return this.#silenceClient(incident);
      case "total-silence":
        return this.#silenceAll(incident.forMs);
      case "lost-name":
        return this.#loseName(this.#machine(incident.target), incident);
      case "lag-handover":
        return this.#lagAndHandOver(this.#machine(incident.target), incident);
      case "mistake":
        return operator.mistake(incident.what, incident.draw);
      case "swap":
        return this.#swap(this.#machine(incident.target), machines[incident.other]!, incident.forMs);
      case "move":
        for (const each of incident.target === "all" ? machines : [this.#machine(incident.target)])
          this.#move(each, incident.forMs);
        return;
      case "reuse":
        return this.#reuse(this.#machine(incident.target), incident.forMs);
      case "client-cut":
        return this.#cutClient(incident.client, this.#machine(incident.target), incident.forMs);
      default:
        return this.#beginOnMachine(incident, this.#machine(incident.target));
    }
  }

  #beginOnMachine(
    incident: Extract<
      Incident,
      {
        kind:
          | "disk-hang"
          | "store-hang"
          | "disk-slow"
          | "disk-full"
          | "disk-fails"
          | "bit-rot"
          | "clock-jump";
      }
    >,
    machine: SimMachine,
  ): void {
    const { weather } = machine;
    switch (incident.kind) {
      case "disk-hang":
        weather.isHung = true;
        return this.#later(incident.forMs, () => {
          weather.isHung = false;
        });
      case "store-hang":
        return this.#hangStore(machine, incident.forMs);
      case "disk-slow":
        weather.writeMsMax = incident.writeMs;
        return this.#later(incident.forMs, () => {
          weather.writeMsMax = machine.plan.writeMsMax;
        });
      case "disk-full":
        machine.mayFail = true;
        weather.isFull = true;
        return this.#later(incident.forMs, () => {
          weather.isFull = false;
        });
      case "disk-fails":
        machine.mayFail = true;
        weather.failSyncs = true;
        return this.#later(incident.forMs, () => {
          weather.failSyncs = false;
        });
      case "bit-rot":
        return this.#rot(machine, incident);
      case "clock-jump":
        return machine.jumpClock(incident.byMs);
      default:
        return unreachable(incident);
    }
  }

  #machine(target: Target): SimMachine {
    const { machines } = this.#world;
    if (target !== "leader") return machines[target]!;
    return machines.find((machine) => machine.isLeader) ?? machines[0]!;
  }

  #later(ms: number, run: () => void): void {
    this.#world.timeline.after(ms, undefined, () => {
      if (!this.#isOver) run();
    });
  }

  #down(machine: SimMachine, forMs: number, end: (machine: SimMachine) => void): void {
    machine.isHeldDown = true;
    end(machine);
    this.#later(forMs, () => {
      machine.isHeldDown = false;
      machine.start();
    });
  }

  #partition(
    side: readonly number[],
    how: { readonly direction: Direction; readonly mode: "hold" | "drop"; readonly forMs: number },
  ): void {
    const { machines } = this.#world;
    const insides = machines.filter(({ place }) => side.includes(place));
    const outsides = machines.filter(({ place }) => !side.includes(place));
    const links = insides.flatMap((inside) =>
      outsides.flatMap((outside) => linksBetween(inside.name, outside.name, how.direction)),
    );
    this.#cutForMs(links, how.mode, how.forMs);
  }

  #cutForMs(links: readonly (readonly [string, string])[], mode: CutMode, forMs: number): void {
    const { net } = this.#world;
    for (const [from, to] of links) net.cut(from, to, mode);
    this.#later(forMs, () => {
      for (const [from, to] of links) net.heal(from, to);
    });
  }

  #silence(machine: SimMachine, { other, direction, forMs }: Extract<Incident, { kind: "silence" }>): void {
    const { machines } = this.#world;
    const others = machines.filter((each) => each !== machine && (other === "all" || each.place === other));
    const links = others.flatMap(({ name }) => linksBetween(machine.name, name, direction));
    this.#cutForMs(links, "silent", forMs);
  }

  #silenceClient(incident: Extract<Incident, { kind: "client-silence" }>): void {
    const { client, target, direction, forMs } = incident;
    const machines = target === "all" ? this.#world.machines : [this.#machine(target)];
    const links = machines.flatMap(({ name }) => linksBetween(`c${client + 1}`, name, direction));
    this.#cutForMs(links, "silent", forMs);
  }

  #silenceAll(forMs: number): void {
    const { machines, clients } = this.#world;
    const links = machines.flatMap(({ name }) =>
      [...machines, ...clients].flatMap((other) => linksBetween(name, other.name, "both")),
    );
    this.#cutForMs(
      links.filter(([from, to]) => from !== to),
      "silent",
      forMs,
    );
  }

  #loseName(machine: SimMachine, { by, isReset, forMs }: Extract<Incident, { kind: "lost-name" }>): void {
    const { net, machines, clients } = this.#world;
    const askers = (by === "clients" ? clients : machines).map(({ name }) => name);
    net.loseName(askers, machine.name);
    if (isReset) for (const asker of askers) if (asker !== machine.name) net.reset(asker, machine.name);
    this.#later(forMs, () => net.findName(machine.name));
  }

  /** A log that has grown meanwhile may hold what the snapshot ends with: then it goes on behind it. */
  #lagAndHandOver(machine: SimMachine, incident: Extract<Incident, { kind: "lag-handover" }>): void {
    const { forMs, takeMs } = incident;
    const { operator, machines } = this.#world;
    const next = machines[incident.next]!;
    this.#hangStore(next, forMs + 1000);
    this.#down(machine, forMs, () => machine.kill());
    this.#later(forMs, () => {
      machine.disk.stopAt("rename data/store/MANIFEST", 0, () => {
        if (this.#isOver) return;
        this.#hangStore(machine, takeMs);
        operator.transfer(next);
      });
    });
  }

  /** A store that hangs already hangs as long as it was to: it does not get on in between. */
  #hangStore({ weather }: SimMachine, forMs: number): void {
    const { nowMs } = this.#world.timeline;
    if (weather.storeHangsUntilMs <= nowMs) weather.storeHangsUntilMs = nowMs + forMs;
  }

  #breakLink(incident: Extract<Incident, { kind: "broken-link" }>): void {
    const { net, machines } = this.#world;
    const [from, to] = [machines[incident.from]!.name, machines[incident.to]!.name];
    if (from === to) return;
    net.cut(from, to, incident.mode);
    if (!incident.isOneWay) net.cut(to, from, incident.mode);
    this.#later(incident.forMs, () => {
      net.heal(from, to);
      net.heal(to, from);
    });
  }

  #clog(machine: SimMachine, delayMs: number, forMs: number): void {
    const { net, machines } = this.#world;
    const others = machines.filter((other) => other !== machine);
    for (const other of others) net.clog(machine.name, other.name, delayMs);
    this.#later(forMs, () => {
      for (const other of others) net.unclog(machine.name, other.name);
    });
  }

  #slowNetwork(delayMs: number, forMs: number): void {
    const { net, machines } = this.#world;
    const links = machines.flatMap((from) => machines.map((to) => [from.name, to.name] as const));
    for (const [from, to] of links) net.clog(from, to, delayMs);
    this.#later(forMs, () => {
      for (const [from, to] of links) net.unclog(from, to);
    });
  }

  /** The delay grows slowly enough that the others still seem to be there; then the way out is cut. */
  #echo(machine: SimMachine, { delayMs, forMs }: { readonly delayMs: number; readonly forMs: number }): void {
    const { net, machines } = this.#world;
    const others = machines.filter((other) => other !== machine).map(({ name }) => name);
    const steps = Math.ceil(delayMs / echoStepMs);
    for (let step = 1; step <= steps; step++)
      this.#later((step - 1) * echoEveryMs, () => {
        for (const other of others) net.clog(other, machine.name, Math.min(delayMs, step * echoStepMs));
      });
    this.#later(steps * echoEveryMs, () => {
      for (const other of others) net.cut(machine.name, other, "hold");
    });
    this.#later(steps * echoEveryMs + forMs, () => {
      for (const other of others) {
        net.heal(machine.name, other);
        net.unclog(other, machine.name);
      }
    });
  }

  #cutPowerAt(machine: SimMachine, incident: Extract<Incident, { kind: "power-cut-at" }>): void {
    const { text, operations, fate, forMs, isAbrupt } = incident;
    const cut = () => {
      if (!this.#isOver) this.#down(machine, forMs, () => machine.cutPower(fate, true));
    };
    machine.disk.stopAt(text, operations, isAbrupt ? cut : () => this.#later(0, cut));
  }

  #crashTwice(machine: SimMachine, incident: Extract<Incident, { kind: "crash-twice" }>): void {
    const { text, operations, fate, forMs, afterMs } = incident;
    machine.disk.stopAt(text, operations, () => {
      if (this.#isOver) return;
      this.#down(machine, 0, () => machine.kill());
      this.#later(afterMs, () => this.#down(machine, forMs, () => machine.cutPower(fate, true)));
    });
  }

  #reset(machine: SimMachine): void {
    for (const other of this.#world.machines)
      if (other !== machine) this.#world.net.reset(machine.name, other.name);
  }

  #flap(machine: SimMachine, everyMs: number, forMs: number): void {
    for (let atMs = 0; atMs <= forMs; atMs += everyMs) this.#later(atMs, () => this.#reset(machine));
  }

  #lagAndCrash(machine: SimMachine, incident: Extract<Incident, { kind: "lag-crash" }>): void {
    const { forMs, downMs, fate, text, operations } = incident;
    this.#down(machine, forMs, () => machine.kill());
    this.#later(forMs, () => {
      machine.disk.stopAt(text, operations, () => {
        if (!this.#isOver) this.#down(machine, downMs, () => machine.cutPower(fate, true));
      });
    });
  }

  /** It is found with an empty disk, may start like that, and is replaced by itself after a while. */
  #wipe(machine: SimMachine, forMs: number): void {
    if (machine.isSpare || machine.isRemoved || machine.isWiped || !this.#world.mayLose(machine)) return;
    // With all founders lost at one time a person does not start them with the list of founders: they would found another.
    const isFounder = ({ joinVia, isSpare, isRemoved, isWiped }: SimMachine) =>
      joinVia === undefined && !isSpare && !isRemoved && !isWiped;
    if (!this.#world.machines.some((other) => other !== machine && isFounder(other))) return;
    machine.isWiped = true;
    this.#down(machine, Math.min(forMs, 300), () => {
      machine.wipe();
      machine.restoreAgain();
    });
    this.#later(forMs, () => {
      machine.isHeldDown = false;
      this.#world.operator.readmit(machine);
    });
  }

  #swap(one: SimMachine, other: SimMachine, forMs: number): void {
    if (one === other || !this.#world.mayMove()) return;
    for (const machine of [one, other]) this.#down(machine, forMs, () => machine.kill());
    const { host } = one;
    one.moveTo(other.host);
    other.moveTo(host);
  }

  /** To an address of its own that nobody else has got meanwhile. */
  #move(machine: SimMachine, forMs: number): void {
    const { machines } = this.#world;
    const host = hostsOf(machine).find((each) => machines.every((other) => other.host !== each));
    if (host === undefined || !this.#world.mayMove()) return;
    this.#down(machine, forMs, () => machine.kill());
    machine.moveTo(host);
  }

  #reuse(machine: SimMachine, forMs: number): void {
    const { machines, operator } = this.#world;
    const spare = machines.find(({ isSpare }) => isSpare);
    if (spare === undefined || machine.isSpare || machine.isWiped || !this.#world.mayMove()) return;
    this.#down(machine, forMs, () => machine.kill());
    const { host } = machine;
    machine.moveTo(spare.host);
    spare.moveTo(host);
    operator.replace(machine, spare);
  }

  /** A copy that was made of a running node, or of one that is down, takes the place of what the node has done since. */
  #setBack(machine: SimMachine, forMs: number, downMs: number): void {
    const id = this.#world.idOf(machine);
    const copy = new Map([...machine.disk.files()].map(([path, bytes]) => [path, bytes.slice()]));
    this.#later(forMs, () => {
      const isSame = id !== undefined && this.#world.idOf(machine) === id;
      const { isSpare, isRemoved, isWiped, isDamaged } = machine;
      if (!isSame || isSpare || isRemoved || isWiped || isDamaged || !this.#world.mayLose(machine)) return;
      // One in a world: the other may be the only one that remembers what this one forgot.
      if (this.#world.machines.some(({ wasSetBack }) => wasSetBack)) return;
      this.#down(machine, downMs, () => machine.setBack(copy));
    });
  }

  #cutClient(client: number, machine: SimMachine, forMs: number): void {
    const { net } = this.#world;
    const name = `c${client + 1}`;
    net.cut(name, machine.name, "hold");
    net.cut(machine.name, name, "hold");
    this.#later(forMs, () => {
      net.heal(name, machine.name);
      net.heal(machine.name, name);
    });
  }

  /** Damages a disk, unless what it holds might not be had from the others. */
  #rot(machine: SimMachine, incident: Extract<Incident, { kind: "bit-rot" }>): void {
    if (!this.#world.mayDamage(machine)) return;
    const place = rot(machine.disk, incident.chance);
    if (place === undefined) return;
    this.#world.trace.add(`${machine.name} has a bit flipped: ${place}`);
    machine.isDamaged = true;
    // Most of what is stored is read at a start only.
    if (incident.chance % 4 !== 0) this.#down(machine, incident.forMs, () => machine.kill());
  }
}
