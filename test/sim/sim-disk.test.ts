import { expect, test } from "bun:test";
import type { Disk } from "../../src/env/disk.ts";
import { Prng } from "../../src/env/prng.ts";
import { replaceFile } from "../../src/env/replace-file.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { Entry, HardState } from "../../src/raft/types.ts";
import { Persister } from "../../src/raftlog/persister.ts";
import { tablesConformance } from "../env/tables-conformance.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { eachSeed } from "../leveldb/seed.ts";
import type { Fate } from "./plan.ts";
import { type DiskWeather, PowerCut, SimDisk } from "./sim-disk.ts";
import { SimProcess } from "./sim-process.ts";
import { Timeline } from "./timeline.ts";

// Goal: the disk forgets what a real one may forget and nothing else; a kinder one would hide bugs, a harsher one invent them.

class Bench {
  readonly timeline = new Timeline();
  readonly weather: DiskWeather = {
    writeMsMin: 1,
    writeMsMax: 3,
    syncMsMin: 0.1,
    syncMsMax: 0.2,
    isHung: false,
    storeHangsUntilMs: 0,
    storeHeldUntilMs: 0,
    isFull: false,
    failSyncs: false,
  };
  readonly machine: SimDisk;
  process: SimProcess;
  disk: Disk;

  constructor(seed = 1) {
    this.machine = new SimDisk(this.timeline, new Prng(seed), this.weather);
    this.process = new SimProcess(this.timeline, { name: "p" });
    this.disk = this.machine.of(this.process);
  }

  /** The next process on this machine. */
  restart(how: "kill" | Fate): void {
    this.process.die();
    this.machine.killed(this.process);
    if (how !== "kill") this.machine.powerCut(how);
    this.process = new SimProcess(this.timeline, { name: "p" });
    this.disk = this.machine.of(this.process);
  }

  text(path: string): string | undefined {
    const bytes = this.disk.read(path);
    return bytes === undefined ? undefined : fromUtf8(bytes);
  }

  run(ms: number): void {
    const untilMs = this.timeline.nowMs + ms;
    while (this.timeline.nextMs <= untilMs && this.timeline.runNext());
    this.timeline.at(untilMs, undefined, () => {});
    this.timeline.runNext();
  }
}

function written(bench: Bench, path: string, text: string): void {
  const file = bench.disk.open(path, "create");
  file.write(0, toUtf8(text));
  file.sync();
  bench.disk.syncFolder("d");
}

test("bytes that were not synced are lost with the power, and kept over a kill", () => {
  const bench = new Bench();
  written(bench, "d/a", "old");
  bench.disk.open("d/a", "write").write(0, toUtf8("new"));
  expect(bench.text("d/a")).toBe("new");
  bench.restart("kill");
  expect(bench.text("d/a")).toBe("new");
  bench.restart("lost");
  expect(bench.text("d/a")).toBe("old");
});

test("a name is durable with its folder, also when the content was synced", () => {
  const bench = new Bench();
  const file = bench.disk.open("d/a", "create");
  file.write(0, toUtf8("x"));
  file.sync();
  bench.restart("lost");
  expect(bench.disk.exists("d/a")).toBe(false);
  written(bench, "d/b", "y");
  bench.disk.rename("d/b", "d/c");
  bench.restart("lost");
  expect(bench.disk.list("d")).toEqual(["b"]);
});

test("a power cut may tear a write at sectors, and keep any of the names that were not synced", () => {
  const contents = new Set<string>();
  const names = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const bench = new Bench(seed);
    written(bench, "d/a", "-".repeat(1024));
    bench.disk.open("d/a", "write").write(0, toUtf8("+".repeat(1024)));
    bench.disk.open("d/b", "create");
    bench.disk.open("d/c", "create");
    bench.restart("torn");
    contents.add(bench.text("d/a")!.replace(/(.)\1*/g, "$1"));
    names.add(bench.disk.list("d").join(""));
  }
  expect([...contents].sort()).toEqual(["+", "+-", "-", "-+"]);
  expect([...names].sort()).toEqual(["a", "ab", "abc", "ac"]);
});

test("a durable write is seen at once, ends later, and is durable then; never for a process that is dead", () => {
  const bench = new Bench();
  written(bench, "d/a", "old");
  let ended = 0;
  bench.disk.open("d/a", "write").writeDurably(0, toUtf8("new"), () => ended++);
  expect([bench.text("d/a"), ended]).toEqual(["new", 0]);
  bench.run(10);
  expect(ended).toBe(1);
  bench.restart("lost");
  expect(bench.text("d/a")).toBe("new");
  bench.disk.open("d/a", "write").writeDurably(0, toUtf8("odd"), () => ended++);
  bench.restart("lost");
  bench.run(10);
  expect([bench.text("d/a"), ended]).toEqual(["new", 1]);
});

test("writes that are under way together do not overlap", () => {
  const bench = new Bench();
  const file = bench.disk.open("d/a", "create");
  file.writeDurably(0, toUtf8("four"), () => {});
  expect(() => file.writeDurably(3, toUtf8("x"), () => {})).toThrow("do not overlap");
  file.writeDurably(4, toUtf8("x"), () => {});
});

test("a hung disk ends its writes when it goes on", () => {
  const bench = new Bench();
  let ended = 0;
  bench.weather.isHung = true;
  bench.disk.open("d/a", "create").writeDurably(0, toUtf8("x"), () => ended++);
  bench.run(500);
  expect(ended).toBe(0);
  bench.weather.isHung = false;
  bench.run(20);
  expect(ended).toBe(1);
});

test("a full disk takes no growth and no names, and writes over what is there", () => {
  const bench = new Bench();
  written(bench, "d/a", "abc");
  bench.weather.isFull = true;
  const file = bench.disk.open("d/a", "write");
  file.write(0, toUtf8("xyz"));
  const codes: unknown[] = [];
  for (const fail of [() => file.write(2, toUtf8("more")), () => bench.disk.open("d/b", "create")])
    try {
      fail();
    } catch (error) {
      codes.push((error as KvraftError).code);
    }
  file.writeDurably(100, toUtf8("more"), (error) => codes.push((error as KvraftError).code));
  bench.run(10);
  expect(codes).toEqual(["NO_SPACE", "NO_SPACE", "NO_SPACE"]);
});

test("a sync that fails makes nothing durable", () => {
  const bench = new Bench();
  written(bench, "d/a", "old");
  bench.weather.failSyncs = true;
  const file = bench.disk.open("d/a", "write");
  file.write(0, toUtf8("new"));
  expect(() => file.sync()).toThrow(KvraftError);
  expect(() => bench.disk.syncFolder("d")).toThrow(KvraftError);
  let failure: Error | undefined;
  file.writeDurably(8, toUtf8("z"), (error) => {
    failure = error;
  });
  bench.run(10);
  expect(failure).toBeInstanceOf(KvraftError);
  bench.restart("lost");
  expect(bench.text("d/a")).toBe("old");
});

test("a flipped bit is seen at once and after a power cut", () => {
  const bench = new Bench();
  written(bench, "d/a", "abc");
  bench.machine.flip("d/a", 1, 0);
  expect(bench.text("d/a")).toBe("acc");
  bench.restart("lost");
  expect(bench.text("d/a")).toBe("acc");
});

test("a machine stops before the operation that was named, and its process changes nothing more", () => {
  const bench = new Bench();
  bench.machine.stopAt("rename", 0, () => bench.restart("kept"));
  const dead = bench.disk;
  expect(() => replaceFile(dead, "d", "a", toUtf8("x"))).toThrow(PowerCut);
  expect(bench.disk.list("d")).toEqual(["a.new"]);
  expect(() => dead.remove("d/a.new")).toThrow(PowerCut);
  expect(bench.disk.list("d")).toEqual(["a.new"]);
});

test("a lock is free when its process is dead", () => {
  const bench = new Bench();
  const lock = bench.disk.lock("d/LOCK");
  expect(bench.disk.lock("d/LOCK")).toBeUndefined();
  bench.restart("kill");
  expect(bench.disk.lock("d/LOCK")).toBeDefined();
  lock!.release();
  expect(bench.disk.lock("d/LOCK")).toBeUndefined();
});

test("what the Raft log has acknowledged is there after kills and power cuts at any moment", () => {
  eachSeed(60, (prng, seed) => {
    const bench = new Bench(seed);
    const owner = { clusterId: "00000000000000aa", nodeId: "00000000000000bb" };
    let acknowledged: { term: number; entries: string[] } = { term: 0, entries: [] };
    for (let life = 0; life < 6; life++) {
      const log = Persister.open(bench.disk, "d/log", owner, { segmentBytesMax: 8192 }, () => {});
      const found = log.slice(1, log.lastIndex + 1, 1 << 20).map(({ data }) => fromUtf8(data));
      expect(found.slice(0, acknowledged.entries.length)).toEqual(acknowledged.entries);
      expect(log.readRaftState().hardState.term).toBeGreaterThanOrEqual(acknowledged.term);
      let { term } = log.readRaftState().hardState;
      acknowledged = { term, entries: found };
      for (let save = prng.int(1, 8); save > 0; save--) {
        const index = acknowledged.entries.length + 1;
        const text = `${life}.${save}`.padEnd(prng.pick([4, 600, 2000]), ".");
        const entry: Entry = { kind: "command", term: ++term, index, data: toUtf8(text) };
        const hardState: HardState = { term, vote: undefined, commit: 0 };
        let isDone = false;
        log.saveRaftState({ hardState, entries: [entry] }, () => {
          isDone = true;
        });
        bench.run(prng.chance(1, 6) ? 0.5 : 50);
        if (!isDone) break;
        acknowledged = { term, entries: [...acknowledged.entries, text] };
      }
      bench.restart(prng.pick(["kill", "lost", "kept", "torn"] as const));
    }
  });
});

const shared = new Bench();
let count = 0;
tablesConformance("the runs of a simulated store", () => ({
  tables: new MemoryTables(shared.disk),
  disk: shared.disk,
  path: `d/${++count}.run`,
}));
