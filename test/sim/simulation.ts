import { Prng } from "../../src/env/prng.ts";
import type { Result } from "../../src/kv/result.ts";
import type { StateMachine } from "../../src/kv/state-machine.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import { describeEntry, describeMessage, describeState, describeWrite } from "../../src/raft/describe.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Entry, Message, NodeId, ReadState, Write } from "../../src/raft/types.ts";
import type { Operation } from "../history/operation.ts";
import { checkHistory } from "./check-history.ts";
import { Incidents } from "./incidents.ts";
import { type Observer, observe } from "./observe.ts";
import type { Plan } from "./plan.ts";
import { RaftChecker } from "./raft-checker.ts";
import { SimClient } from "./sim-client.ts";
import { PowerCut } from "./sim-disk.ts";
import { type Ended, SimMachine } from "./sim-machine.ts";
import { type NetWeather, SimNet } from "./sim-net.ts";
import { addStoreWork, noStoreWork, type StoreWork } from "./sim-workers.ts";
import { StateChecker } from "./state-checker.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";

/** A process that has ended by itself is started again after so long. */
const restartAfterMs = 300;
/** Formation without faults, in ms. */
const formationMsMax = 60_000;
/** Once everything is healed: requests are answered, and replicas are equal, within so many ms. */
const calmMsMax = 20_000;
/** More events mean that something goes round in circles. */
const eventsMax = 5_000_000;

/**
 * One world from its plan to its end: whole nodes and clients in virtual time. First everything fails as planned, and what is seen has to be
 * safe; then a majority is healed, the rest stays dead, and it has to be live: it answers, and its replicas become equal.
 */
export class Simulation implements Observer {
  readonly plan: Plan;
  readonly timeline = new Timeline();
  readonly trace = new Trace(() => this.timeline.nowMs);
  readonly history: Operation[] = [];
  readonly machines: SimMachine[];
  readonly clients: SimClient[];
  readonly net: SimNet;
  events = 0;
  readonly #weather: NetWeather;
  readonly #raft: RaftChecker;
  readonly #state = new StateChecker();
  /** The state machine of each machine's present process. */
  readonly #stateMachines = new Map<SimMachine, StateMachine>();
  /** The core of each machine's present or last process, and its node's id. */
  readonly #cores = new Map<SimMachine, Raft>();
  readonly #ids = new Map<SimMachine, NodeId>();
  /** What ended the run from inside of a callback. */
  #fault: Error | undefined;

  constructor(plan: Plan) {
    this.plan = plan;
    const prng = new Prng(plan.seed ^ 0x51_3a_91);
    this.#weather = { ...plan.weather };
    this.net = new SimNet(this.timeline, prng.fork(), this.#weather);
    const ended: Ended = (machine, failure) => this.#ended(machine, failure);
    this.machines = plan.machines.map((_, place) => new SimMachine(this, place, prng.fork(), ended));
    const addresses = this.machines.map(({ name }) => ({ host: name, port: 5001 }));
    const { timeline, net, trace, history } = this;
    const { keys, valueBytesMax } = plan;
    const world = { timeline, net, trace, history, addresses, keys, valueBytesMax };
    this.clients = plan.clients.map((client, place) => new SimClient(world, place, client, prng.fork()));
    const { electionMinMs, tickMs } = plan.timings;
    this.#raft = new RaftChecker(plan.machines.length, Math.max(1, Math.round(electionMinMs / tickMs)));
  }

  /** Runs to the end. Throws at the first thing that is wrong. */
  run(): void {
    observe(this);
    try {
      this.#startAll();
      if (!this.plan.isFormationDisturbed)
        this.#until("a cluster is formed and has a leader", formationMsMax, () => this.#isFormed());
      const incidents = this.#beginFaults();
      this.#runFor(this.plan.faultsMs);
      this.#calm(incidents);
      this.#checkLiveness();
      this.#checkHistory();
    } finally {
      observe(undefined);
    }
  }

  /** What all stores have done so far. */
  get storeWork(): StoreWork {
    const sum = noStoreWork();
    for (const { storeWork } of this.machines) addStoreWork(sum, storeWork);
    return sum;
  }

  // ---- the two phases ----

  /** In an event, so that what promises lead to happens in it too. */
  #startAll(): void {
    this.timeline.after(0, undefined, () => {
      for (const machine of this.machines) machine.start();
    });
  }

  #isFormed(): boolean {
    return this.machines.some((machine) => machine.isLeader);
  }

  #beginFaults(): Incidents {
    const { timeline, net, trace, machines } = this;
    const brokenMax = this.plan.isFormationDisturbed ? 0 : (machines.length - 1) >> 1;
    const incidents = new Incidents({ timeline, net, trace, machines, brokenMax }, this.plan.incidents);
    for (const client of this.clients) client.start();
    return incidents;
  }

  /** Heals a majority, and leaves the rest dead. */
  #calm(incidents: Incidents): void {
    this.trace.add("── faults are over");
    incidents.end();
    Object.assign(this.#weather, { lossPerMille: 0, duplicatePerMille: 0, delayPerMille: 0 });
    for (const client of this.clients) client.stop();
    const core = this.#core();
    for (const machine of this.machines) {
      if (core.includes(machine)) continue;
      machine.isHeldDown = true;
      machine.kill();
    }
    this.timeline.after(0, undefined, () => {
      for (const machine of core) machine.start();
    });
  }

  /** The machines that live on: as many as are needed, of those whose disks are what was written. */
  #core(): SimMachine[] {
    const { survivors, isFormationDisturbed, machines } = this.plan;
    const sound = survivors.map((place) => this.machines[place]!).filter((machine) => !machine.isDamaged);
    const count = isFormationDisturbed ? machines.length : (machines.length >> 1) + 1;
    return sound.slice(0, count);
  }

  #checkLiveness(): void {
    const core = this.#core();
    const names = core.map((machine) => machine.name).join(" ");
    this.#until("every pending request is answered", calmMsMax, () =>
      this.clients.every((client) => client.active === 0),
    );
    this.#until(`${names} have a leader`, calmMsMax, () => core.some((machine) => machine.isLeader));
    const probes = this.clients.map((client) => this.#probe(client));
    this.#until("every client can write and read again", calmMsMax, () =>
      probes.every((probe) => probe.isDone),
    );
    this.#until(`${names} are equal`, calmMsMax, () => this.#isConverged(core));
    for (const machine of core) {
      const stateMachine = this.#stateMachines.get(machine);
      assert(stateMachine !== undefined, `${machine.name} has applied something`);
      this.#state.checkReplica(machine.name, stateMachine);
    }
  }

  /** Writes a key of its own and reads all keys, each until it succeeds. */
  #probe(client: SimClient): { isDone: boolean } {
    const probe = { isDone: false };
    const run = async () => {
      const own = `own/${client.name}`;
      await client.insist(() => ({ operation: "put", key: own, value: client.newValue() }));
      for (const key of [own, ...this.#state.keys].slice(0, 40))
        await client.insist(() => ({ operation: "get", key, value: undefined }));
      probe.isDone = true;
    };
    this.timeline.after(0, undefined, () => void run());
    return probe;
  }

  #isConverged(core: readonly SimMachine[]): boolean {
    const states = core.map((machine) => {
      const id = this.#idOf(machine);
      return id === undefined || !machine.isUp ? undefined : this.#raft.coreOf(id)?.getState();
    });
    return states.every(
      (state) =>
        state !== undefined &&
        state.applied === state.last.index &&
        state.last.index === states[0]!.last.index &&
        state.last.term === states[0]!.last.term,
    );
  }

  #checkHistory(): void {
    // Sessions live longer than any run, unless the clocks of the servers jump.
    const jumps = this.plan.incidents.some(({ kind }) => kind === "clock-jump");
    for (const { name, endedSessions } of this.clients)
      assert(jumps || endedSessions === 0, `the servers have forgotten ${endedSessions} sessions of ${name}`);
    checkHistory(this.history, (value) => this.#state.entryOf(value));
  }

  // ---- time ----

  #runFor(ms: number): void {
    const untilMs = this.timeline.nowMs + ms;
    while (this.timeline.nextMs <= untilMs && this.#runNext());
  }

  #until(what: string, msMax: number, condition: () => boolean): void {
    const limitMs = this.timeline.nowMs + msMax;
    while (!condition()) {
      if (this.timeline.nowMs > limitMs)
        assert(false, `${what}, within ${msMax} ms of virtual time; ${this.#describeNodes()}`);
      assert(this.#runNext(), "time goes on");
    }
  }

  #runNext(): boolean {
    assert(++this.events <= eventsMax, `a run has fewer than ${eventsMax} events`);
    const hasRun = this.#runOne();
    if (this.#fault !== undefined) throw this.#fault;
    return hasRun;
  }

  /** An event that a power cut ends in the middle is over. */
  #runOne(): boolean {
    try {
      return this.timeline.runNext();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      return true;
    }
  }

  #describeNodes(): string {
    const nodes = this.machines.map((machine) => {
      const id = this.#idOf(machine);
      const raft = machine.isUp && id !== undefined ? this.#raft.coreOf(id) : undefined;
      return `${machine.name}: ${raft === undefined ? "down" : describeState(raft.getState())}`;
    });
    return nodes.join("; ");
  }

  // ---- processes ----

  /** A process has ended by itself, or as it was asked to. */
  #ended(machine: SimMachine, failure: KvraftError | undefined): void {
    this.timeline.after(restartAfterMs, undefined, () => machine.start());
    if (failure === undefined) return;
    const { code } = failure;
    if (machine.isDamaged && (code === "CORRUPTION" || code === "FORMAT" || code === "IDENTITY")) {
      machine.isBroken = true;
      return;
    }
    const isExcused = machine.mayFail && (code === "IO_ERROR" || code === "NO_SPACE");
    if (!isExcused)
      this.#fault ??= new Error(`${machine.name} has ended by itself: ${code} ${failure.message}`);
    this.timeline.after(restartAfterMs, undefined, () => machine.start());
  }

  #idOf(machine: SimMachine): NodeId | undefined {
    return this.#ids.get(machine);
  }

  // ---- observing ----

  /** Its machine's former core is no more. */
  born(raft: Raft): void {
    const machine = this.#running();
    if (machine === undefined) return;
    const { id } = raft.getState();
    this.#cores.set(machine, raft);
    this.#ids.set(machine, id);
    this.#raft.born(raft);
  }

  ticked(raft: Raft): void {
    this.#raft.ticked(raft);
  }

  heard(raft: Raft, message: Message): void {
    this.#raft.heard(raft, message);
  }

  writeEnded(raft: Raft): void {
    this.#raft.writeEnded(raft);
  }

  stepped(raft: Raft): void {
    this.#raft.stepped(raft);
  }

  sent(raft: Raft, messages: readonly Message[]): void {
    for (const message of messages) this.trace.add(() => this.#named(describeMessage(message)));
    this.#raft.sent(raft, messages);
  }

  writeBegan(raft: Raft, write: Write): void {
    this.trace.add(() => `${this.#nameOfRunning()} ${describeWrite(write)}`);
    this.#raft.writeBegan(raft, write);
  }

  readAsked(raft: Raft, context: number): void {
    this.#raft.readAsked(raft, context);
  }

  readsConfirmed(raft: Raft, reads: readonly ReadState[]): void {
    this.#raft.readsConfirmed(raft, reads);
  }

  committed(raft: Raft, entries: readonly Entry[]): void {
    this.trace.add(() => `${this.#nameOfRunning()} applies ${entries.map(describeEntry).join(", ")}`);
    this.#raft.committed(raft, entries);
  }

  applied(machine: StateMachine, index: number, data: Bytes, before: number, result: Result): void {
    const owner = this.#running();
    if (owner !== undefined) this.#stateMachines.set(owner, machine);
    this.#state.applied(machine, index, data, before, result);
  }

  #running(): SimMachine | undefined {
    const { running } = this.timeline;
    return running === undefined ? undefined : this.machines.find((machine) => machine.process === running);
  }

  #nameOfRunning(): string {
    return this.timeline.running?.name ?? "-";
  }

  /** Node ids are random: people read the names of the machines. */
  #named(line: string): string {
    let named = line;
    for (const [machine, id] of this.#ids) named = named.replaceAll(id, machine.name);
    return named;
  }
}
