import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient, KVError, type MemberChange } from "../../src/client/kv-client.ts";
import type { MemberStatus } from "../../src/client/member-list.ts";
import { Prng } from "../../src/env/prng.ts";
import { type Address, formatAddress } from "../../src/lib/address.ts";
import { messageOf } from "../../src/lib/error.ts";
import { wrongCommand } from "./mistakes.ts";
import type { IncidentKind, Mistake } from "./plan.ts";
import type { SimMachine } from "./sim-machine.ts";
import type { SimNet } from "./sim-net.ts";
import { SimProcess } from "./sim-process.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

export interface OperatorWorld {
  readonly timeline: Timeline;
  readonly net: SimNet;
  readonly trace: Trace;
  readonly machines: readonly SimMachine[];
  /** Where servers may be. */
  readonly addresses: readonly Address[];
  /** The node that a machine's folder belongs to, once it is a member. */
  idOf(machine: SimMachine): string | undefined;
  /** Before a change is asked for. */
  asked(change: MemberChange): void;
  /** Whether these machines' members may go, or come in, without leaving a majority whose data is lost. */
  isWise(voters: readonly SimMachine[]): boolean;
}

/** How often commands had an effect, or were kept from one. */
export interface OperatorCounts {
  /** Wrong commands that were refused for what they say, and that were given. */
  refusedMistakes: number;
  mistakes: number;
  /** Learners that were refused as voters because they had not caught up. */
  behind: number;
  /** Commands that were given again after they were carried out. */
  repeated: number;
  /** Nodes that were replaced by one at their address. */
  succeeded: number;
}

/** A new server that has not caught up by then is left alone, in ms. */
const patienceMs = 6000;
const lookEveryMs = 50;

/** Who runs the cluster, by the client library: lets machines in, makes voters of them, removes some, moves the leadership. */
export class SimOperator {
  readonly #world: OperatorWorld;
  readonly #process: SimProcess;
  readonly #client: KVClient;
  readonly #clientOf: (servers: readonly Address[]) => KVClient;
  readonly #prng: Prng;
  /** How often each kind of change was made. */
  readonly #done = new Map<IncidentKind, number>();
  readonly counts: OperatorCounts = { refusedMistakes: 0, mistakes: 0, behind: 0, repeated: 0, succeeded: 0 };
  #isOver = false;
  #active = 0;
  /** The last command that was carried out. */
  #lastDone: MemberChange | undefined;

  constructor(world: OperatorWorld, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
    const { timeline, net, addresses } = world;
    this.#process = new SimProcess(timeline, { name: "operator" });
    const names = prng.fork();
    const env = {
      clock: this.#process,
      net: net.of(this.#process, "operator"),
      newName: () => `operator/${names.u32().toString(36)}`,
    };
    this.#clientOf = (servers) => new KVClient(clientEndsOf(servers, env), { env, timeoutMs: 2000 });
    this.#client = this.#clientOf(addresses);
  }

  /** Whether nothing that was begun goes on. */
  get isIdle(): boolean {
    return this.#active === 0;
  }

  /** How often a change of this kind was made. */
  done(kind: IncidentKind): number {
    return kind === "mistake" ? this.counts.mistakes : (this.#done.get(kind) ?? 0);
  }

  /** Begins nothing more. */
  stop(): void {
    this.#isOver = true;
  }

  join(isPromoted: boolean): void {
    this.#do("join", async () => {
      const [joined] = await this.#letIn(1);
      if (joined === undefined) return;
      this.#note("join");
      if (isPromoted) await this.#change({ promote: [joined.nodeId] });
    });
  }

  remove(machine: SimMachine): void {
    this.#do(`remove ${machine.name}`, async () => {
      const member = await this.#memberAt(machine);
      if (member !== undefined) await this.#change({ remove: [member.nodeId] }, "remove");
    });
  }

  /** By a new machine: that one, or any. */
  replace(machine: SimMachine, by?: SimMachine): void {
    const id = this.#world.idOf(machine);
    this.#do(`replace ${machine.name}`, async () => {
      const [joined] = await this.#letIn(1, by);
      const change = joined && (await this.#replacement(id, joined.nodeId));
      if (change === undefined) return;
      await this.#change(change, by === undefined ? "replace" : "reuse");
      if (by !== undefined) this.counts.succeeded++;
    });
  }

  replaceAll(): void {
    this.#do("replace all", async () => {
      const before = (await this.#client.members()).members.filter(({ role }) => role === "voter");
      const joined = await this.#letIn(before.length);
      if (joined.length === 0) return;
      const replace = joined.map(({ nodeId }, at) => ({ old: before[at]!.nodeId, new: nodeId }));
      const remove = before.slice(joined.length).map(({ nodeId }) => nodeId);
      await this.#change({ replace, remove }, "replace-all");
    });
  }

  transfer(to: SimMachine | undefined): void {
    this.#do(`transfer to ${to?.name ?? "any"}`, async () => {
      const member = to === undefined ? undefined : await this.#memberAt(to);
      await this.#client.transferLeadership(member?.nodeId);
      this.#note("transfer");
    });
  }

  /** It is let in as somebody else, beside whoever it was, which it replaces then. */
  readmit(machine: SimMachine): void {
    const lostId = machine.lostId ?? this.#world.idOf(machine);
    this.#do(`readmit ${machine.name}`, async () => {
      machine.wipe();
      machine.isWiped = false;
      machine.lostId = undefined;
      this.#start(machine);
      const [joined] = await this.#caughtUp([machine]);
      const change = joined && (await this.#replacement(lostId, joined.nodeId));
      if (change === undefined) return;
      await this.#change(change);
      this.counts.succeeded++;
    });
  }

  /** Gives a command that is wrong in this way, to any server. */
  mistake(what: Mistake, draw: number): void {
    const prng = new Prng(draw);
    this.#do(`mistake: ${what}`, async () => {
      if (what === "promote too early") return this.#promoteTooEarly();
      const list = await this.#client.members();
      if (what === "repeat") return this.#repeat();
      const command = wrongCommand(what, list, prng);
      if (command === undefined || this.#isOver) return;
      this.counts.mistakes++;
      const client = this.#clientOf([prng.pick(this.#world.machines).address]);
      try {
        if ("transferTo" in command) await client.transferLeadership(command.transferTo);
        else {
          this.#world.asked({ ...command, remove: [] });
          await client.changeMembers(command);
        }
      } catch (error) {
        if (error instanceof KVError && error.code === "ErrMembers") this.counts.refusedMistakes++;
        throw error;
      } finally {
        await client.close();
      }
    });
  }

  /** A server that has only just joined is to vote at once: it is asked for again and again. */
  async #promoteTooEarly(): Promise<void> {
    const machine = this.#world.machines.find(({ isSpare }) => isSpare);
    if (machine === undefined) return;
    this.counts.mistakes++;
    const known = new Set((await this.#client.members()).members.map(({ nodeId }) => nodeId));
    this.#start(machine);
    const untilMs = this.#process.monotonicMs() + patienceMs;
    const at = formatAddress(machine.address);
    for (; !this.#isOver && this.#process.monotonicMs() < untilMs; await this.#rest(5)) {
      const { members } = await this.#client.members();
      const learner = members.find(({ nodeId, address }) => address === at && !known.has(nodeId));
      if (learner === undefined) continue;
      try {
        return await this.#change({ promote: [learner.nodeId] });
      } catch (error) {
        if (!(error instanceof KVError) || error.code !== "ErrBehind") throw error;
        this.counts.behind++;
      }
    }
  }

  async #repeat(): Promise<void> {
    if (this.#lastDone === undefined || this.#isOver) return;
    this.counts.mistakes++;
    await this.#client.changeMembers(this.#lastDone);
    this.counts.repeated++;
  }

  #do(what: string, run: () => Promise<void>): void {
    const { timeline, trace } = this.#world;
    trace.add(`operator: ${what}`);
    this.#active++;
    const tell = (error: unknown) => {
      this.#active--;
      if (!(error instanceof KVError)) throw error;
      trace.add(`operator: ${what} has failed: ${messageOf(error)}`);
    };
    const done = () => {
      this.#active--;
      trace.add(`operator: ${what} is done`);
    };
    timeline.after(0, this.#process, () => void run().then(done, tell));
  }

  /** Starts new machines, as many as there are up to `count`, and resolves with those that have caught up. */
  async #letIn(count: number, wanted?: SimMachine): Promise<MemberStatus[]> {
    const all = this.#world.machines.filter(({ isSpare }) => isSpare);
    const spares = all.filter((machine) => wanted === undefined || machine === wanted).slice(0, count);
    for (const machine of spares) this.#start(machine);
    return this.#caughtUp(spares);
  }

  #start(machine: SimMachine): void {
    const up = this.#world.machines.filter((other) => other.isUp && other !== machine);
    machine.joinVia = (up.length === 0 ? this.#world.machines[0]! : this.#prng.pick(up)).address;
    machine.isSpare = false;
    machine.isRemoved = false;
    machine.start();
  }

  async #caughtUp(machines: readonly SimMachine[]): Promise<MemberStatus[]> {
    const untilMs = this.#process.monotonicMs() + patienceMs;
    const isThere = ({ match, behind }: MemberStatus) => match !== undefined && behind === undefined;
    while (!this.#isOver && this.#process.monotonicMs() < untilMs) {
      const found: MemberStatus[] = [];
      for (const machine of machines)
        found.push(...[await this.#memberAt(machine)].filter((each) => each !== undefined));
      if (found.length === machines.length && found.every(isThere)) return found;
      await this.#rest(lookEveryMs);
    }
    return [];
  }

  async #memberAt(machine: SimMachine): Promise<MemberStatus | undefined> {
    const { members } = await this.#client.members();
    return members.find(({ nodeId }) => nodeId === this.#world.idOf(machine));
  }

  /** What puts a learner in the place of a member, which may be one itself, or none any more. */
  async #replacement(old: string | undefined, next: string): Promise<MemberChange | undefined> {
    const { members } = await this.#client.members();
    const role = members.find(({ nodeId }) => nodeId === old)?.role;
    if (old === undefined || role === undefined) return { promote: [next] };
    if (role === "learner") return { promote: [next], remove: [old] };
    return { replace: [{ old, new: next }] };
  }

  /** Counted as one of this kind. */
  async #change(change: MemberChange, kind?: IncidentKind): Promise<void> {
    if (this.#isOver) return;
    const { promote = [], remove = [], replace = [] } = change;
    const { members } = await this.#client.members();
    const gone = [...remove, ...replace.map(({ old }) => old)];
    const voters = members.filter(({ role }) => role !== "learner").map(({ nodeId }) => nodeId);
    const after = [...voters, ...promote, ...replace.map((pair) => pair.new)].filter(
      (id) => !gone.includes(id),
    );
    const machines = this.#world.machines.filter((machine) =>
      after.includes(this.#world.idOf(machine) ?? ""),
    );
    if (!this.#world.isWise(machines)) return;
    this.#world.asked(change);
    await this.#client.changeMembers(change);
    this.#lastDone = change;
    if (kind !== undefined) this.#note(kind);
  }

  #note(kind: IncidentKind): void {
    this.#done.set(kind, this.done(kind) + 1);
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => this.#process.after(ms, resolve));
  }
}
