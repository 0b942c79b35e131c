import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient, KVError } from "../../src/client/kv-client.ts";
import type { MemberStatus } from "../../src/client/member-list.ts";
import type { Prng } from "../../src/env/prng.ts";
import { messageOf } from "../../src/lib/error.ts";
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
  /** Whether these machines' members may go, or come in, without leaving a majority whose data is lost. */
  isWise(voters: readonly SimMachine[]): boolean;
}

/** A new server that has not caught up by then is left alone, in ms. */
const patienceMs = 6000;
const lookEveryMs = 50;

/** Who runs the cluster, by the client library: lets machines in, makes voters of them, removes some, moves the leadership. */
export class SimOperator {
  readonly #world: OperatorWorld;
  readonly #process: SimProcess;
  readonly #client: KVClient;
  readonly #prng: Prng;
  #isOver = false;
  #active = 0;

  constructor(world: OperatorWorld, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
    const { timeline, net, machines } = world;
    this.#process = new SimProcess(timeline, { name: "operator" });
    const names = prng.fork();
    const env = {
      clock: this.#process,
      net: net.of(this.#process, "operator"),
      newName: () => `operator/${names.u32().toString(36)}`,
    };
    const addresses = machines.map(({ address }) => address);
    this.#client = new KVClient(clientEndsOf(addresses, env), { env, timeoutMs: 2000 });
  }

  /** Whether nothing that was begun goes on. */
  get isIdle(): boolean {
    return this.#active === 0;
  }

  /** Begins nothing more. */
  stop(): void {
    this.#isOver = true;
  }

  join(isPromoted: boolean): void {
    this.#do("join", async () => {
      const [joined] = await this.#letIn(1);
      if (joined !== undefined && isPromoted) await this.#change([joined], []);
    });
  }

  remove(machine: SimMachine): void {
    this.#do(`remove ${machine.name}`, async () => {
      const member = await this.#memberAt(machine);
      if (member !== undefined) await this.#change([], [member]);
    });
  }

  replace(machine: SimMachine): void {
    this.#do(`replace ${machine.name}`, async () => {
      const [joined] = await this.#letIn(1);
      const member = await this.#memberAt(machine);
      if (joined !== undefined && member !== undefined) await this.#change([joined], [member]);
    });
  }

  replaceAll(): void {
    this.#do("replace all", async () => {
      const before = (await this.#client.members()).members.filter(({ role }) => role === "voter");
      const joined = await this.#letIn(before.length);
      if (joined.length > 0) await this.#change(joined, before);
    });
  }

  transfer(to: SimMachine | undefined): void {
    this.#do(`transfer to ${to?.name ?? "any"}`, async () => {
      const member = to === undefined ? undefined : await this.#memberAt(to);
      await this.#client.transferLeadership(member?.nodeId);
    });
  }

  /** Whoever the machine was is removed, and then it is let in as somebody else. */
  readmit(machine: SimMachine): void {
    this.#do(`readmit ${machine.name}`, async () => {
      const member = await this.#memberAt(machine);
      if (member !== undefined) await this.#client.changeMembers({ remove: [member.nodeId] });
      machine.wipe();
      machine.isWiped = false;
      this.#start(machine);
      const [joined] = await this.#caughtUp([machine]);
      if (joined !== undefined) await this.#change([joined], []);
    });
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
  async #letIn(count: number): Promise<MemberStatus[]> {
    const spares = this.#world.machines.filter(({ isSpare }) => isSpare).slice(0, count);
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
      await new Promise<void>((resolve) => this.#process.after(lookEveryMs, resolve));
    }
    return [];
  }

  async #memberAt({ name }: SimMachine): Promise<MemberStatus | undefined> {
    const { members } = await this.#client.members();
    return members.find(({ address }) => address === `${name}:5001`);
  }

  async #change(promote: readonly MemberStatus[], remove: readonly MemberStatus[]): Promise<void> {
    if (this.#isOver) return;
    const { members } = await this.#client.members();
    const gone = new Set(remove.map(({ nodeId }) => nodeId));
    const voters = [...members.filter(({ role }) => role !== "learner"), ...promote];
    const after = voters.filter(({ nodeId }) => !gone.has(nodeId)).map(({ address }) => address);
    const machines = this.#world.machines.filter(({ name }) => after.includes(`${name}:5001`));
    if (!this.#world.isWise(machines)) return;
    await this.#client.changeMembers({
      promote: promote.map(({ nodeId }) => nodeId),
      remove: [...gone],
    });
  }
}
