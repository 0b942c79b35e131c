import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import type { Boot, ProcessStart } from "../../src/rpc/hello.ts";
import { Admission } from "../../src/server/admission.ts";
import type { BootList } from "../../src/server/boot-list.ts";
import type { BootMemory } from "../../src/server/boot-memory.ts";
import type { BootMessage } from "../../src/server/boot-messages.ts";
import type { Remembered } from "../../src/server/boot-rules.ts";
import { ManualClock } from "../rpc/memory-net.ts";

// Goal: a member counts exactly the processes that DESIGN.md, "Boots", lets count, whatever they and others answer, in any
// order and however late. Method: one Admission, whose connections, memory and clock are the test's.

const idOf = (name: string) => name.repeat(16) as NodeId;
const [n1, n2, n3] = [idOf("1"), idOf("2"), idOf("3")];
const boot = (number: number, name: string): Boot => ({ number, id: name.repeat(16) });
const startOf = (of: Boot, term = 5, index = 50): ProcessStart => ({ boot: of, term, index });
const nothing: Remembered = { admitted: undefined, replicated: undefined, term: 0, index: 0 };
const silenceMs = 1000;

class World {
  readonly clock = new ManualClock();
  /** By node id: what this member remembers, and what the replicated state does. */
  readonly known = new Map<NodeId, { boot: Boot | undefined; term: number; index: number }>();
  readonly replicated = new Map<NodeId, Boot>();
  readonly members = new Set([n1, n2, n3]);
  readonly connected = new Set<string>();
  /** Writes of the memory that are under way. */
  readonly syncs: (() => void)[] = [];
  readonly events: string[] = [];
  readonly admission: Admission;
  #sent: { readonly to: string; readonly message: BootMessage }[] = [];

  constructor() {
    const { clock, known, connected, events } = this;
    const memory = {
      of: (nodeId: NodeId) => known.get(nodeId),
      admit: (nodeId: NodeId, admitted: Boot, _: unknown, run: () => void) => {
        this.syncs.push(() => {
          known.set(nodeId, { term: 0, index: 0, ...known.get(nodeId), boot: admitted });
          run();
        });
      },
    } as unknown as BootMemory;
    const own = [boot(1, "a"), boot(2, "b")];
    const boots = { holds: ({ id }: Boot) => own.some((each) => each.id === id) } as unknown as BootList;
    this.admission = new Admission({
      ...{ clock, boots, memory, silenceMs },
      replicated: (nodeId) => this.replicated.get(nodeId),
      isMember: (nodeId) => this.members.has(nodeId),
      send: (_, bootId, message) => {
        if (!connected.has(bootId)) return false;
        this.#sent.push({ to: bootId[0]!, message });
        return true;
      },
      isConnected: (_, bootId) => connected.has(bootId),
      ended: (nodeId) => events.push(`ended ${nodeId[0]}`),
      admitted: (nodeId, { id }) => events.push(`admitted ${nodeId[0]} ${id[0]}`),
      refused: (nodeId, bootId) => events.push(`refused ${nodeId[0]} ${bootId[0]}`),
      waits: (by) => events.push(`told to wait by ${by[0]}`),
      log: () => events.push("log"),
    });
  }

  meet(nodeId: NodeId, start: ProcessStart): void {
    this.connected.add(start.boot.id);
    this.admission.met(nodeId, start);
    this.clock.run(0);
  }

  /** Meets a process of which nothing is remembered, and lets all be written. */
  admit(nodeId: NodeId, start: ProcessStart): void {
    this.meet(nodeId, start);
    this.sync();
    expect(this.admission.counts(nodeId, start.boot.id)).toBe(true);
    this.take();
  }

  sync(): void {
    for (const run of this.syncs.splice(0)) run();
    this.clock.run(0);
  }

  hear(nodeId: NodeId, from: Boot, message: BootMessage): void {
    this.admission.heard(nodeId, from.id, message);
    this.clock.run(0);
  }

  answerFolder(nodeId: NodeId, from: Boot, held: Boot | undefined, isHeld = true): void {
    const answers = held === undefined ? [] : [{ boot: held, isHeld }];
    this.hear(nodeId, from, { kind: "folder-answer", answers });
  }

  answerMember(from: NodeId, fromBoot: Boot, about: NodeId, remembered: Partial<Remembered>): void {
    this.hear(from, fromBoot, {
      kind: "member-answer",
      nodeId: about,
      remembered: { ...nothing, ...remembered },
    });
  }

  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.clock.run(50);
      this.admission.tick();
    }
    this.clock.run(0);
  }

  /** What happened and was sent since the last call. */
  take(): string[] {
    const sent = this.#sent.splice(0).map(({ to, message }) => {
      if (message.kind === "ask-folder")
        return `${to}: holds ${message.boots.map(({ id }) => id[0]).join("") || "-"}?`;
      if (message.kind === "ask-member") return `${to}: about ${message.nodeId[0]}?`;
      return `${to}: ${message.kind}`;
    });
    return [...this.events.splice(0), ...sent];
  }
}

const [a, b, c] = [boot(1, "a"), boot(2, "b"), boot(3, "c")];

test("a process of which nobody remembers anything counts when it is remembered durably, and not before", () => {
  const world = new World();
  world.meet(n2, startOf(a));
  expect(world.admission.counts(n2, a.id)).toBe(false);
  world.pass(5 * silenceMs);
  expect(world.take()).toEqual([]);
  world.sync();
  expect(world.take()).toEqual(["admitted 2 a"]);
  expect(world.admission.counts(n2, a.id)).toBe(true);
  expect(world.admission.counts(n2, b.id)).toBe(false);
});

test("while an earlier process answers, the later one waits, and is told; it is let in when the connection ends", () => {
  const world = new World();
  world.admit(n2, startOf(a));
  world.meet(n2, startOf(b));
  for (let round = 0; round < 20; round++) {
    world.answerFolder(n2, a, undefined);
    world.pass(300);
  }
  const seen = world.take();
  expect(seen.filter((each) => each === "log")).toHaveLength(1);
  expect(seen).toContain("b: waiting");
  expect(seen.filter((each) => each === "a: holds -?").length).toBeGreaterThan(10);
  expect(seen.some((each) => each.startsWith("ended") || each.startsWith("admitted"))).toBe(false);
  expect(world.admission.counts(n2, a.id)).toBe(true);
  world.connected.delete(a.id);
  world.pass(50);
  expect(world.take()).toEqual(["ended 2", "b: holds a?"]);
  expect(world.admission.counts(n2, a.id)).toBe(false);
  world.answerFolder(n2, b, a);
  world.sync();
  expect(world.take()).toEqual(["admitted 2 b"]);
});

test("an earlier process that is silent for long enough counts no more, and its late answers change nothing", () => {
  const world = new World();
  world.admit(n2, startOf(a));
  world.meet(n2, startOf(b));
  world.pass(silenceMs - 100);
  expect(world.take()).toEqual(["a: holds -?"]);
  world.pass(200);
  expect(world.take()).toEqual(["ended 2", "b: holds a?"]);
  world.answerFolder(n2, a, undefined);
  world.answerFolder(n2, a, a);
  world.pass(100);
  expect(world.take()).toEqual([]);
  world.answerFolder(n2, b, a);
  world.sync();
  expect(world.take()).toEqual(["admitted 2 b"]);
});

test("answers that nobody asked for, and those of strangers, prove nothing and refuse nobody", () => {
  const world = new World();
  world.known.set(n2, { boot: a, term: 0, index: 0 });
  world.answerFolder(n2, b, a);
  world.answerMember(n3, c, n2, { term: 99 });
  expect(world.take()).toEqual([]);
  world.meet(n2, startOf(b));
  expect(world.take()).toEqual(["b: holds a?"]);
  // Of another boot than was asked for, by another process, and of a process that does not count.
  world.answerFolder(n2, b, c, false);
  world.answerFolder(n2, c, a);
  world.answerFolder(n3, b, a);
  world.answerMember(n3, c, n2, { term: 99 });
  world.pass(100);
  expect([world.take(), world.syncs.length]).toEqual([[], 0]);
  world.answerFolder(n2, b, a);
  expect(world.syncs.length).toBe(1);
  world.sync();
  world.answerFolder(n2, b, a, false);
  world.answerMember(n3, c, n2, { term: 99 });
  expect(world.take()).toEqual(["admitted 2 b"]);
});

test("a folder whose list lacks a remembered boot is refused: by the member's memory, or by the replicated state's", () => {
  for (const source of ["memory", "state"]) {
    const world = new World();
    if (source === "memory") world.known.set(n2, { boot: a, term: 0, index: 0 });
    else world.replicated.set(n2, a);
    world.meet(n2, startOf(b));
    expect(world.take()).toEqual(["b: holds a?"]);
    // It is asked again: a question may be lost.
    world.pass(silenceMs + 50);
    expect(world.take()).toEqual(["b: holds a?"]);
    world.answerFolder(n2, b, a, false);
    expect(world.take()).toEqual(["refused 2 b"]);
    expect(world.admission.refusalOf(n2, b.id)).toContain(`does not know its start 1 (${a.id})`);
    expect(world.admission.refusalOf(n2, c.id)).toBeUndefined();
    world.meet(n2, startOf(b));
    expect([world.take(), world.syncs.length]).toEqual([[], 0]);
  }
});

test("a process with a lower term or index than is remembered is refused, and the one before counts on", () => {
  const world = new World();
  world.known.set(n2, { boot: undefined, term: 6, index: 50 });
  world.meet(n2, startOf(a));
  expect(world.take()).toEqual(["refused 2 a"]);
  expect(world.admission.refusalOf(n2, a.id)).toContain("was at term 5 when it was started");
  world.known.set(n2, { boot: undefined, term: 5, index: 50 });
  world.admit(n2, startOf(b));
  world.known.set(n2, { boot: b, term: 5, index: 51 });
  world.meet(n2, startOf(c));
  world.pass(silenceMs + 100);
  expect(world.take()).toEqual(["ended 2", "refused 2 c", "b: holds -?"]);
  expect(world.admission.refusalOf(n2, c.id)).toContain("acknowledged it up to 51 before");
  expect(world.admission.isRefused(n2)).toBe(true);
  expect(world.admission.counts(n2, b.id)).toBe(true);
});

test("admitted members are asked, after the sync, and what one remembers refuses, or has to be proved first", () => {
  for (const what of ["term", "held", "not held"] as const) {
    const world = new World();
    world.admit(n3, startOf(boot(1, "d")));
    world.meet(n2, startOf(b));
    expect(world.take()).toEqual([]);
    world.sync();
    expect(world.take()).toEqual(["d: about 2?"]);
    world.answerMember(n3, boot(1, "d"), n2, what === "term" ? { term: 6 } : { admitted: a });
    if (what === "term") {
      expect(world.take()).toEqual(["refused 2 b"]);
      continue;
    }
    world.pass(50);
    expect(world.take()).toEqual(["b: holds a?"]);
    world.answerFolder(n2, b, a, what === "held");
    // It is asked about those who count already, when it counts itself.
    expect(world.take()).toEqual(what === "held" ? ["admitted 2 b", "b: about 3?"] : ["refused 2 b"]);
  }
});

test("a member that does not answer is waited for no longer than for the silence, and its late answer still refuses", () => {
  const world = new World();
  const d = boot(1, "d");
  world.admit(n3, startOf(d));
  world.meet(n2, startOf(b));
  world.sync();
  world.pass(silenceMs - 100);
  expect(world.take()).toEqual(["d: about 2?"]);
  world.pass(200);
  expect(world.take()).toEqual(["admitted 2 b", "b: about 3?"]);
  world.answerMember(n3, d, n2, { admitted: a });
  expect(world.take()).toEqual(["b: holds a?"]);
  world.answerFolder(n2, b, a, false);
  expect(world.take()).toEqual(["ended 2", "refused 2 b"]);
  expect(world.admission.counts(n2, b.id)).toBe(false);
});

test("a member answers what its list holds and what it remembers", () => {
  const world = new World();
  world.known.set(n2, { boot: a, term: 7, index: 70 });
  world.replicated.set(n2, b);
  expect(world.admission.remembered(n2)).toEqual({ admitted: a, replicated: b, term: 7, index: 70 });
  world.connected.add(c.id);
  world.hear(n3, c, { kind: "ask-folder", boots: [] });
  world.hear(n3, c, { kind: "ask-member", nodeId: n2 });
  world.hear(n3, c, { kind: "waiting" });
  expect(world.take()).toEqual(["told to wait by 3", "c: folder-answer", "c: member-answer"]);
});

test("of strangers that are gone a bounded number is kept, and every member", () => {
  const world = new World();
  world.admit(n2, startOf(a));
  world.connected.delete(a.id);
  for (let number = 0; number < 1000; number++) {
    const id = number.toString(16).padStart(16, "e");
    const stranger = { number: 1, id: id.replaceAll("e", "f") };
    world.meet(id as NodeId, startOf(stranger));
    world.sync();
    world.connected.delete(stranger.id);
    world.pass(50);
  }
  const isKept = (number: number) =>
    world.admission.admittedBoot(number.toString(16).padStart(16, "e") as NodeId) !== undefined;
  expect([...Array(1000).keys()].filter(isKept).length).toBeLessThanOrEqual(256);
  expect(world.admission.counts(n2, a.id)).toBe(true);
});
