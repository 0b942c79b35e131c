import type { SnapshotSource } from "../../src/backup/save.ts";
import type { Client } from "../../src/cli/client.ts";
import { runCommandLine } from "../../src/cli/commands.ts";
import type { Context, Environment } from "../../src/cli/context.ts";
import type {
  MemberChange,
  MemberList,
  MemberReference,
  MemberStatus,
  NodeStatus,
  SnapshotOptions,
} from "../../src/client/kv-client.ts";
import { KVError } from "../../src/client/kv-error.ts";
import type { RemovedNode } from "../../src/client/member-list.ts";
import { type Address, formatAddress } from "../../src/lib/address.ts";
import { type Bytes, concatBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { planChange } from "../../src/server/member-change.ts";
import { type Member, membersOf, type RemovedMember } from "../../src/server/members.ts";

/** How a KVError looks to the commands. */
export class FakeKvError extends Error {
  readonly outcome: "not-done" | "refused" | "unknown";

  constructor(outcome: "not-done" | "refused" | "unknown", message: string) {
    super(message);
    this.outcome = outcome;
  }
}

/** The member in place `number`, from 1: its id ends with it, and so does its port. */
export function memberOf(number: number, role: MemberStatus["role"], lag: number | undefined): MemberStatus {
  const match = lag === undefined ? undefined : 5000 - lag;
  const behind = role === "learner" && lag !== undefined && lag > 100 ? `it lacks ${lag} entries` : undefined;
  return {
    ...(behind === undefined ? {} : { behind }),
    nodeId: `00000000000000a${number}`,
    address: `127.0.0.1:500${number}`,
    role,
    match,
    lag,
    isActive: true,
  };
}

/** A client on a map, of a cluster of three. Each call first throws `failure`, if one is set. */
export class FakeClient implements Client {
  readonly records = new Map<string, { value: Bytes; created: number; modified: number; count: number }>();
  nodes: NodeStatus[] = [];
  failure: Error | undefined;
  revision = 0;
  isClosed = false;
  memberList: MemberStatus[] = [1, 2, 3].map((number) => memberOf(number, "voter", 0));
  leader = "127.0.0.1:5001";
  removed: RemovedNode[] = [];
  /** Runs right before the leader judges a change: it may know more than the list that was asked for. */
  beforeChange: () => void = () => {};
  /** Runs whenever the members are asked for. */
  beforeMembers: () => void = () => {};
  /** What was asked for, done or not. */
  readonly changes: MemberChange[] = [];
  /** What snapshots were asked for, and what they are. */
  readonly snapshots: SnapshotOptions[] = [];
  source: SnapshotSource | undefined;

  async getBytes(key: Bytes): Promise<Bytes | undefined> {
    return (await this.getRecord(key))?.value;
  }

  async getRecord(key: Bytes) {
    this.#mayFail();
    return this.records.get(toHex(key));
  }

  async put(key: Bytes, value: Bytes): Promise<void> {
    this.#mayFail();
    const before = this.records.get(toHex(key));
    this.revision++;
    this.records.set(toHex(key), {
      value,
      created: before?.created ?? this.revision,
      modified: this.revision,
      count: (before?.count ?? 0) + 1,
    });
  }

  async delete(key: Bytes): Promise<boolean> {
    this.#mayFail();
    return this.records.delete(toHex(key));
  }

  async status(): Promise<NodeStatus[]> {
    this.#mayFail();
    return this.nodes;
  }

  async members(): Promise<MemberList> {
    this.#mayFail();
    this.beforeMembers();
    const leaderId = this.memberList.find(({ address }) => address === this.leader)?.nodeId ?? "";
    const members = [...this.memberList];
    return { clusterId: "00000000000000c1", leader: this.leader, leaderId, members, removed: this.removed };
  }

  /** Judges as the leader does. */
  async changeMembers(change: MemberChange): Promise<void> {
    this.#mayFail();
    this.changes.push(change);
    this.beforeChange();
    const named = (reference: MemberReference) =>
      typeof reference === "string" ? { nodeId: reference, address: "" } : reference;
    const { promote = [], remove = [], replace = [] } = change;
    const plan = planChange(
      membersOf(this.memberList as unknown as Member[], this.removed as RemovedMember[]),
      {
        promote: promote.map(named),
        remove: remove.map(named),
        replace: replace.map((pair) => ({ old: named(pair.old), new: named(pair.new) })),
      },
    );
    if (plan.kind === "refused") throw new KVError("refused", "ErrMembers", plan.text);
    if (plan.kind === "done") return;
    const isIn = (ids: readonly string[]) => (member: MemberStatus) => ids.includes(member.nodeId);
    const behind = this.memberList.filter(isIn(plan.promote)).find((member) => member.behind !== undefined);
    if (behind !== undefined)
      throw new KVError("refused", "ErrBehind", `${behind.address}: ${behind.behind}`);
    this.removed = [...this.removed, ...this.memberList.filter(isIn(plan.remove))];
    this.memberList = this.memberList
      .filter((member) => !isIn(plan.remove)(member))
      .map((member) => (isIn(plan.promote)(member) ? { ...member, role: "voter" } : member));
  }

  async snapshot(options: SnapshotOptions = {}): Promise<SnapshotSource> {
    this.#mayFail();
    this.snapshots.push(options);
    return this.source!;
  }

  async transferLeadership(to?: string): Promise<void> {
    this.#mayFail();
    const heir = (member: MemberStatus) =>
      to === undefined ? member.address !== this.leader : member.nodeId === to;
    this.leader = this.memberList.find(heir)!.address;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #mayFail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Everything around a command, in memory. */
export class World implements Context {
  readonly client = new FakeClient();
  readonly files = new Map<string, Bytes>();
  readonly #out: Bytes[] = [];
  readonly #err: string[] = [];
  input: Bytes[] = [];
  environment: Environment = {};
  readonly homeDir = "/home/u";
  /** What the client was opened with. */
  opened: { servers: string[]; timeoutMs: number } | undefined;
  readonly stdin = {
    isTerminal: false,
    hasContent: true,
    chunks: () => chunksOf(this.input),
  };
  readonly stdout = {
    isTerminal: false,
    write: (data: string | Bytes) => void this.#out.push(typeof data === "string" ? toUtf8(data) : data),
  };
  readonly stderr = {
    isTerminal: false,
    write: (data: string | Bytes) => void this.#err.push(typeof data === "string" ? data : fromUtf8(data)),
  };

  async readFile(path: string): Promise<Bytes | undefined> {
    return this.files.get(path);
  }

  async openClient(servers: readonly Address[], timeoutMs: number): Promise<Client> {
    this.opened = { servers: servers.map(formatAddress), timeoutMs };
    return this.client;
  }

  /** What went to stdout since the last call, as bytes. */
  takeBytes(): Bytes {
    return concatBytes(this.#out.splice(0));
  }

  /** Runs a command line: its status, and what it printed. */
  async run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    const status = await runCommandLine(this, args);
    return { status, out: fromUtf8(this.takeBytes()), err: this.#err.splice(0).join("") };
  }
}

async function* chunksOf(chunks: readonly Bytes[]): AsyncGenerator<Bytes> {
  yield* chunks;
}
