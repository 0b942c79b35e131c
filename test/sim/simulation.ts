import type { MemberChange } from "../../src/client/kv-client.ts";
import { Prng } from "../../src/env/prng.ts";
import type { Result } from "../../src/kv/result.ts";
import type { StateMachine } from "../../src/kv/state-machine.ts";
import { formatAddress } from "../../src/lib/address.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import {
  describeEntry,
  describeId,
  describeMessage,
  describeState,
  describeWrite,
} from "../../src/raft/describe.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type {
  Configuration,
  Entry,
  EntryId,
  Message,
  NodeId,
  ReadState,
  Write,
} from "../../src/raft/types.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import type { Operation } from "../history/operation.ts";
import { checkHistory } from "./check-history.ts";
import type { Coverage } from "./coverage.ts";
import { EventLoop } from "./event-loop.ts";
import type { Effect } from "./incident-effects.ts";
import { addressesOf, Incidents } from "./incidents.ts";
import { checkLastSilence } from "./last-silence.ts";
import { LogChecker } from "./log-checker.ts";
import { type Observer, observe } from "./observe.ts";
import { SimOperator } from "./operator.ts";
import type { IncidentKind, Plan } from "./plan.ts";
import { RaftChecker } from "./raft-checker.ts";
import { restoredBase } from "./restored-founders.ts";
import { SimClient } from "./sim-client.ts";
import { type Ended, SimMachine } from "./sim-machine.ts";
import { type NetWeather, SimNet } from "./sim-net.ts";
import type { SimProcess } from "./sim-process.ts";
import { type StoreWork, sumOfStoreWork } from "./sim-workers.ts";
import { StateChecker } from "./state-checker.ts";
import { StoreChecker } from "./store-checker.ts";
import { chooseSurvivors, isBearable } from "./survivors.ts";
import { changesMembers, TimeChecker } from "./time-checker.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";

/** A process that has ended by itself is started again after so long. */
const restartAfterMs = 300;
/** Formation without faults, in ms. */
const formationMsMax = 60_000;
/** Once everything is healed: requests are answered, and replicas are equal, within so many ms. */
const calmMsMax = 20_000;
/** For so long a cluster is watched that has lost too much to go on, in ms. */
const hopelessMs = 3000;

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
  readonly #weather: NetWeather;
  readonly #raft: RaftChecker;
  readonly #state: StateChecker;
  readonly #logs = new LogChecker();
  readonly #time: TimeChecker;
  readonly #stores: StoreChecker;
  readonly #operator: SimOperator;
  /** The state machine of each machine's present process. */
  readonly #stateMachines = new Map<SimMachine, StateMachine>();
  /** The core of each machine's present or last process, and its node's id. */
  readonly #cores = new Map<SimMachine, Raft>();
  readonly #ids = new Map<SimMachine, NodeId>();
  readonly #processes = new WeakMap<Raft, SimProcess>();
  /** Who was on which machine, at any time. */
  readonly #names = new Map<NodeId, string>();
  /** Who lives on in the second phase; undefined before it. */
  #survivors: SimMachine[] | undefined;
  #incidents: Incidents | undefined;
  #toldRemoved = 0;
  #wiped = 0;
  #forgotten = 0;
  #setBack = 0;
  #condemned = 0;
  #hopeless = 0;
  readonly #loop: EventLoop;

  constructor(plan: Plan) {
    this.plan = plan;
    const prng = new Prng(plan.seed ^ 0x51_3a_91);
    this.#loop = new EventLoop(this.timeline, () => this.#describeNodes());
    this.#weather = { ...plan.weather };
    this.net = new SimNet(this.timeline, prng.fork(), this.#weather);
    const ended: Ended = (machine, failure) => this.#ended(machine, failure);
    this.machines = plan.machines.map((_, place) => new SimMachine(this, place, prng.fork(), ended));
    for (const machine of this.machines) {
      machine.onWiped = () => this.#wipedOut(machine);
      machine.onSetBack = () => this.#wasSetBack(machine);
    }
    const addresses = addressesOf(this.machines, plan);
    const { timeline, net, trace, history } = this;
    const { keys, valueBytesMax } = plan;
    const world = { timeline, net, trace, history, addresses, keys, valueBytesMax };
    this.clients = plan.clients.map((client, place) => new SimClient(world, place, client, prng.fork()));
    const { electionMinMs, electionMaxMs, tickMs } = plan.timings;
    const ticks = (ms: number) => Math.max(1, Math.round(ms / tickMs));
    const base = plan.restored === undefined ? undefined : restoredBase;
    this.#state = new StateChecker(base);
    this.#raft = new RaftChecker(ticks(electionMinMs), (raft) => this.#isAlive(raft), base?.entry);
    this.#stores = new StoreChecker(ticks(electionMinMs), ticks(electionMaxMs));
    const { machines } = this;
    const haveVotes = plan.founders === machines.length && !changesMembers(plan);
    this.#time = new TimeChecker(machines, haveVotes, base?.leaseMs ?? 0);
    const isWise = (voters: readonly SimMachine[]) => this.#isWise(voters);
    const idOf = (machine: SimMachine) => this.#idOf(machine);
    const asked = (change: MemberChange) => this.#raft.changes.asked(change);
    const operated = { timeline, net, trace, machines, addresses, idOf, asked, isWise };
    this.#operator = new SimOperator(operated, prng.fork());
  }

  /** Runs to the end. Throws at the first thing that is wrong. */
  run(): void {
    observe(this);
    try {
      this.#startAll();
      if (!this.plan.isFormationDisturbed)
        this.#loop.until("a cluster is formed and has a leader", formationMsMax, () => this.#isFormed());
      const incidents = this.#beginFaults();
      this.#incidents = incidents;
      this.#loop.runFor(this.plan.faultsMs);
      this.#calm(incidents);
      this.#loop.until("every pending request is answered", calmMsMax, () =>
        this.clients.every((client) => client.active === 0),
      );
      if (this.#survivors !== undefined) this.#checkLiveness(this.#survivors);
      else this.#loop.runFor(hopelessMs);
      this.#checkHistory();
    } finally {
      observe(undefined);
    }
  }

  /** What all stores have done so far. */
  get storeWork(): StoreWork {
    return sumOfStoreWork(this.machines.map(({ storeWork }) => storeWork));
  }

  /** How often the incidents of each kind did something. */
  get effects(): ReadonlyMap<IncidentKind, Effect> {
    return this.#incidents?.effects ?? new Map();
  }

  get coverage(): Coverage {
    const { delivered: _, ...weather } = this.net.counts;
    const { addressChanges, sharedAddresses } = this.#raft.changes;
    const counts = { ...this.#raft.coverage, ...this.#operator.counts, ...weather };
    return {
      ...{ ...counts, addressChanges, sharedAddresses },
      dropped: this.#logs.dropped,
      hangingLeaders: this.#stores.hangingLeaders,
      wallMoves: this.#time.moves,
      toldRemoved: this.#toldRemoved,
      wiped: this.#wiped,
      restoredAgain: this.machines.reduce((sum, machine) => sum + machine.restoredAgain, 0),
      forgotten: this.#forgotten,
      setBack: this.#setBack,
      condemned: this.#condemned,
      hopeless: this.#hopeless,
    };
  }

  get events(): number {
    return this.#loop.events;
  }

  // ---- the two phases ----

  /** In an event, so that what promises lead to happens in it too. */
  #startAll(): void {
    const { restored, founders } = this.plan;
    const prepared = restored === undefined ? [] : this.machines.slice(0, founders);
    for (const machine of prepared) if (machine.place !== restored?.forgotten) machine.prepare();
    this.timeline.after(0, undefined, () => {
      for (const machine of this.machines) machine.start();
    });
    if (restored?.forgotten === undefined) return;
    const forgotten = this.machines[restored.forgotten]!;
    this.timeline.after(restored.seenAfterMs, undefined, () => {
      assert(this.#raft.members === undefined, "no cluster is formed of an empty folder and prepared ones");
      this.#forgotten++;
      forgotten.kill();
      forgotten.disk.wipe();
      forgotten.prepare();
      forgotten.start();
    });
  }

  #isFormed(): boolean {
    return this.machines.some((machine) => machine.isLeader);
  }

  #beginFaults(): Incidents {
    const { timeline, net, trace, machines, clients } = this;
    const operator = this.#operator;
    const mayLose = (machine: SimMachine) => this.#mayLose(machine);
    const isCareless = this.plan.isCareless && !this.plan.isFormationDisturbed;
    const mayDamage = (machine: SimMachine) => isCareless || this.#mayLose(machine);
    const mayMove = () => this.#mayMove();
    const all = { timeline, net, trace, machines, clients, operator };
    const world = { ...all, mayLose, mayDamage, mayMove, idOf: (machine: SimMachine) => this.#idOf(machine) };
    const incidents = new Incidents(world, this.plan.incidents);
    for (const client of this.clients) client.start();
    return incidents;
  }

  /** Heals a majority, and leaves the rest dead. */
  #calm(incidents: Incidents): void {
    this.trace.add("── faults are over");
    incidents.end();
    this.#operator.stop();
    Object.assign(this.#weather, { lossPerMille: 0, duplicatePerMille: 0, delayPerMille: 0 });
    for (const client of this.clients) client.stop();
    // A change that is still asked for when others are dead for good would be a mistake of whoever asks.
    this.#loop.until("the operator has gone", calmMsMax, () => this.#operator.isIdle);
    this.#survivors = this.#core();
    if (this.#survivors === undefined) this.#hopeless++;
    // With too much lost for good, all who can try: nothing is asked of them but that they say nothing wrong.
    const core = this.#survivors ?? this.machines.filter(({ isSpare, isRemoved }) => !isSpare && !isRemoved);
    const voters = this.#raft.members?.incoming ?? [];
    const [leading] = core.filter((machine) => voters.includes(this.#idOf(machine)!));
    for (const machine of core) {
      if (machine.joinVia === undefined || this.#idOf(machine) !== undefined || leading === undefined)
        continue;
      // The server that it asks may be dead: a person names another one.
      machine.kill();
      machine.joinVia = leading.address;
    }
    for (const machine of this.machines) {
      if (core.includes(machine)) continue;
      machine.isHeldDown = true;
      machine.kill();
    }
    this.timeline.after(0, undefined, () => {
      for (const machine of core) machine.start();
    });
  }

  /**
   * The machines that live on: as many voters as are needed, of those whose disks are what was written, and everybody
   * who has no vote: learners, new servers that wait, and removed ones that do not know it yet.
   */
  #core(): SimMachine[] | undefined {
    const { survivors, isFormationDisturbed, founders } = this.plan;
    const isSound = (machine: SimMachine) =>
      !machine.isDamaged && !machine.isBroken && !machine.isWiped && !machine.isSpare;
    const sound = survivors.map((place) => this.machines[place]!).filter(isSound);
    if (this.#raft.members === undefined) return this.machines.slice(0, founders);
    const open = this.#raft.openConfigurations;
    const chosen = chooseSurvivors(sound, open, (machine) => this.#idOf(machine));
    if (chosen === undefined) return undefined;
    const votes = (machine: SimMachine) => {
      const id = this.#idOf(machine);
      return open.some(
        ({ incoming, outgoing }) => id !== undefined && [...incoming, ...outgoing].includes(id),
      );
    };
    return sound.filter((machine) => isFormationDisturbed || chosen.includes(machine) || !votes(machine));
  }

  /** The machines whose data is lost, or may be. */
  get #lost(): SimMachine[] {
    return this.machines.filter(({ isDamaged, isBroken, isWiped }) => isDamaged || isBroken || isWiped);
  }

  /** Whether a majority is left to repair what is lost with this machine. */
  #mayLose(machine: SimMachine): boolean {
    if (this.plan.isFormationDisturbed || this.#raft.members === undefined) return false;
    const lost = [...this.#lost, machine].map((each) => this.#idOf(each)).filter((id) => id !== undefined);
    return isBearable(this.#raft.openConfigurations, new Set([...lost, ...this.#raft.wipedIds]));
  }

  /** Founders find each other by their list until they are members. */
  #mayMove(): boolean {
    if (this.plan.isFormationDisturbed) return false;
    return this.machines.every(
      (machine) =>
        machine.isSpare ||
        machine.isWiped ||
        machine.joinVia !== undefined ||
        this.#idOf(machine) !== undefined,
    );
  }

  /** Whether these machines have a majority whose data is not lost. */
  #isWise(voters: readonly SimMachine[]): boolean {
    const lost = this.#lost;
    return 2 * voters.filter((machine) => lost.includes(machine)).length < voters.length;
  }

  #checkLiveness(core: readonly SimMachine[]): void {
    const names = core.map((machine) => machine.name).join(" ");
    this.#loop.until(`${names} have a leader`, calmMsMax, () => core.some((machine) => machine.isLeader));
    const probes = this.clients.map((client) => this.#probe(client));
    this.#loop.until("every client can write and read again", calmMsMax, () =>
      probes.every((probe) => probe.isDone),
    );
    this.#loop.until(`${names} are equal, or know that they were removed`, calmMsMax, () =>
      this.#isConverged(core),
    );
    for (const machine of core) {
      // Also who was removed and cannot be told: it has what it had.
      if (machine.isSpare || machine.isRemoved || this.#raft.isRemoved(this.#idOf(machine)!)) continue;
      const stateMachine = this.#stateMachines.get(machine);
      assert(stateMachine !== undefined, `${machine.name} has applied something`);
      this.#state.checkReplica(machine.name, stateMachine);
    }
    const members = core.filter((machine) => !machine.isSpare && !this.#raft.isRemoved(this.#idOf(machine)!));
    // Who has given up a snapshot in the middle holds the log for a while.
    this.#loop.until("logs that nobody needs are dropped", 40_000, () =>
      members.every((machine) =>
        this.#logs.isBounded(this.#cores.get(machine)!, machine.disk.files().keys(), this.plan.limits),
      ),
    );
    this.#checkLastSilence(core);
  }

  #checkLastSilence(core: readonly SimMachine[]): void {
    const { net, clients, plan } = this;
    if (plan.lastSilence === undefined) return;
    this.trace.add("── all is well, and the network falls silent");
    const world = {
      ...{ net, core, clients, loop: this.#loop, electionMaxMs: plan.timings.electionMaxMs },
      isRecovered: () => this.#isConverged(core),
      probe: (client: SimClient) => this.#probe(client, 0),
    };
    checkLastSilence(world, plan.lastSilence);
  }

  /** Writes a key of its own and reads `reads` others, each until it succeeds. */
  #probe(client: SimClient, reads = 40): { isDone: boolean } {
    const probe = { isDone: false };
    const run = async () => {
      const own = `own/${client.name}`;
      await client.insist(() => ({ operation: "put", key: own, value: client.newValue() }));
      for (const key of [own, ...this.#state.keys].slice(0, reads))
        await client.insist(() => ({ operation: "get", key, value: undefined }));
      probe.isDone = true;
    };
    this.timeline.after(0, undefined, () => void run());
    return probe;
  }

  /** All members that live are equal, whoever waits was let in, the last change is over, and who was removed knows it. */
  #isConverged(core: readonly SimMachine[]): boolean {
    const leader = core.find((machine) => machine.isLeader);
    if (leader === undefined) return false;
    const raft = this.#cores.get(leader)!;
    if (!raft.isSettled || raft.configuration.outgoing.length > 0) return false;
    const { last } = raft.getState();
    const { incoming, learners } = raft.configuration;
    return core.every((machine) => {
      if (machine.isSpare) return true;
      const id = this.#idOf(machine);
      if (id === undefined) return false;
      if (this.#raft.isRemoved(id)) return machine.isRemoved || !this.#canBeTold(machine, incoming);
      const state = machine.isUp ? this.#cores.get(machine)!.getState() : undefined;
      const isMember = incoming.includes(id) || learners.includes(id);
      return (
        isMember &&
        state?.applied === last.index &&
        state.last.index === last.index &&
        state.last.term === last.term
      );
    });
  }

  /** A removed node asks whom it knows; when all of them are gone too, nobody tells it. */
  #canBeTold(machine: SimMachine, voters: readonly NodeId[]): boolean {
    const { incoming, outgoing } = this.#cores.get(machine)!.configuration;
    const known = this.machines.filter(
      (other) => other.isUp && [...incoming, ...outgoing].includes(this.#idOf(other)!),
    );
    return known.some((other) => voters.includes(this.#idOf(other)!));
  }

  #checkHistory(): void {
    // Sessions live longer than any run, whatever wall clocks do, and none is dated before the first that may open.
    for (const { name, endedSessions } of this.clients)
      assert(endedSessions === 0, `the servers have forgotten ${endedSessions} sessions of ${name}`);
    checkHistory(this.history, (value) => this.#state.entryOf(value));
  }

  // ---- time ----

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
    if (failure?.code === "IDENTITY" && failure.message.includes("was removed from the cluster"))
      return this.#endedAsRemoved(machine, failure);
    this.timeline.after(restartAfterMs, undefined, () => machine.start());
    if (failure === undefined) return;
    const { code } = failure;
    if (machine.isDamaged && (code === "CORRUPTION" || code === "FORMAT" || code === "IDENTITY")) {
      machine.isBroken = true;
      if (failure.message.includes("set back")) this.#condemned++;
      return;
    }
    const isExcused =
      (machine.mayFail && (code === "IO_ERROR" || code === "NO_SPACE")) ||
      (machine.isWiped && code === "IDENTITY");
    if (!isExcused) this.#loop.fail(`${machine.name} has ended by itself: ${code} ${failure.message}`);
  }

  /** It comes back from its disk once, and is told again; then it gets an empty disk, and may be put to use again. */
  #endedAsRemoved(machine: SimMachine, failure: KvraftError): void {
    const id = this.#idOf(machine);
    if (id === undefined && machine.joinVia !== undefined) {
      // It was let in and removed again before it had heard of the first: it has an id that nobody wants any more.
      machine.wipe();
      machine.isSpare = true;
      return;
    }
    if (id === undefined || !this.#raft.isRemoved(id)) {
      this.#loop.fail(`${machine.name} was not removed, and ends: ${failure.message}`);
      return;
    }
    this.#toldRemoved++;
    const isFirst = !machine.isRemoved;
    machine.isRemoved = true;
    if (this.#survivors !== undefined) return;
    this.timeline.after(restartAfterMs * (isFirst ? 1 : 3), undefined, () => {
      if (this.#survivors !== undefined || machine.isUp || !machine.isRemoved) return;
      if (isFirst) return machine.start();
      machine.wipe();
      machine.isSpare = true;
    });
  }

  #wasSetBack(machine: SimMachine): void {
    this.#setBack++;
    const id = this.#idOf(machine);
    if (id !== undefined) this.#raft.setBack(id);
  }

  #wipedOut(machine: SimMachine): void {
    const id = this.#idOf(machine);
    this.#wiped++;
    if (id !== undefined) this.#raft.wiped(id);
    machine.lostId = id ?? machine.lostId;
    this.#ids.delete(machine);
    this.#cores.delete(machine);
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
    this.#processes.set(raft, machine.process!);
    this.#ids.set(machine, id);
    this.#names.set(id, machine.name);
    this.#raft.born(raft);
  }

  ticked(raft: Raft): void {
    const weather = this.#running()?.weather;
    if (weather !== undefined) this.#stores.ticked(raft, weather.storeHeldUntilMs > this.timeline.nowMs);
    this.#raft.ticked(raft);
  }

  heard(raft: Raft, message: Message): void {
    this.#raft.heard(raft, message);
  }

  writeEnded(raft: Raft): void {
    this.#raft.writeEnded(raft);
  }

  stepped(raft: Raft): void {
    this.#stores.stepped(raft);
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
    this.#time.applied(index, data, this.timeline.nowMs);
  }

  /** Never of a process that leads: not when its connections were reset, nor when it is another one than was known. */
  toldGone(raft: Raft, id: NodeId): void {
    const machine = this.machines.find((each) => this.#idOf(each) === id);
    const core = machine === undefined ? undefined : this.#cores.get(machine);
    if (
      core === undefined ||
      !this.#isAlive(core) ||
      raft.leader !== id ||
      !core.isLeader ||
      core.term !== raft.term
    )
      return;
    // One that is stopping has closed its door.
    if (this.net.listening(formatAddress(machine!.address)) === undefined) return;
    assert(false, `${this.#named(raft.getState().id)} is told that ${machine!.name} is gone, which leads it`);
  }

  forgot(raft: Raft, id: NodeId): void {
    this.#raft.forgot(raft, id);
  }

  restored(raft: Raft, snapshot: EntryId, configuration: Configuration): void {
    this.trace.add(() => `${this.#nameOfRunning()} has the state after entry ${describeId(snapshot)}`);
    this.#raft.restored(raft, snapshot, configuration);
  }

  tookUp(machine: StateMachine, index: number): void {
    const owner = this.#running();
    if (owner !== undefined) this.#stateMachines.set(owner, machine);
    this.#state.tookUp(owner?.name ?? "-", machine, index);
  }

  passed(machine: StateMachine, index: number): void {
    const owner = this.#running();
    if (owner !== undefined) this.#stateMachines.set(owner, machine);
    this.#state.passed(machine, index);
  }

  compacted(log: Persister, upTo: number, firstIndexBefore: number): void {
    const owner = this.#running();
    const core = owner === undefined ? undefined : this.#cores.get(owner);
    if (log.firstIndex > firstIndexBefore)
      this.trace.add(() => `${this.#nameOfRunning()} drops its log up to entry ${log.firstIndex - 1}`);
    if (core !== undefined) this.#logs.compacted(core, log, upTo, firstIndexBefore);
  }

  #isAlive(raft: Raft): boolean {
    return this.#processes.get(raft)?.isAlive === true;
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
    for (const [id, name] of this.#names) named = named.replaceAll(id, name);
    return named;
  }
}
