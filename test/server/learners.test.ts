/** Goal: no commit ever waits until a voter has got the state: whoever has none does not become one. */
import { expect, test } from "bun:test";
import type { KVClient } from "../../src/client/kv-client.ts";
import type { MemberStatus } from "../../src/client/member-list.ts";
import { readIdentity } from "../../src/server/identity.ts";
import { type Machine, World } from "./world.ts";

function idOf(machine: Machine): string {
  return readIdentity(machine.disk, "data")!.nodeId;
}

/** Logs that are dropped as soon as the store has what they hold: a new server needs the state. */
const short = { memtableBytes: 64 * 1024, segmentBytes: 128 * 1024, logTailEntries: 0, logTailBytes: 0 };

/** A cluster whose state has 3 MB and whose log hardly an entry, and a server that was let in with a disk that hangs. */
async function withStuckLearner(): Promise<{ world: World; client: KVClient; fresh: Machine }> {
  const world = new World(1, 1, short);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  for (let at = 0; at < 60; at++) await world.wait(client.put(`key ${at}`, new Uint8Array(50_000).fill(at)));
  const fresh = world.add();
  fresh.join(world.machines[0]!);
  await world.until(
    () => fresh.lines.some((line) => line.startsWith("Fetching the state")),
    "it fetches the state",
  );
  fresh.isDiskHung = true;
  return { world, client, fresh };
}

async function learnerOf(world: World, client: KVClient, fresh: Machine): Promise<MemberStatus> {
  const { members } = await world.wait(client.members());
  return members.find(({ nodeId }) => nodeId === idOf(fresh))!;
}

function refusal(world: World, client: KVClient, change: Parameters<KVClient["changeMembers"]>[0]) {
  return world.wait(
    client.changeMembers(change).then(
      () => "done",
      (error: Error & { code: string }) => `${error.code}: ${error.message}`,
    ),
  );
}

test("a server that has no state is not promoted, however few the entries are, and commits go on without it", async () => {
  const { world, client, fresh } = await withStuckLearner();
  const learner = await learnerOf(world, client, fresh);
  expect({ match: learner.match, role: learner.role }).toEqual({ match: 0, role: "learner" });
  // By the number of entries it would be near enough.
  expect(learner.lag).toBeLessThan(100);
  expect(learner.behind).toMatch(/^its state is being sent, [\d.]+ of about [\d.]+ MB$/);
  const [old] = world.machines;
  for (const change of [
    { promote: [idOf(fresh)] },
    { replace: [{ old: idOf(old!), new: idOf(fresh) }] },
    { promote: [idOf(fresh)], remove: [idOf(old!)] },
  ])
    expect(await refusal(world, client, change)).toContain("ErrBehind: Cannot make a voter of sim:7002");
  const beganMs = world.clock.monotonicMs();
  await world.wait(client.put("meanwhile", "1"));
  expect(world.clock.monotonicMs() - beganMs).toBeLessThan(100);
  fresh.isDiskHung = false;
  for (;;) {
    const { match, behind } = await learnerOf(world, client, fresh);
    if (behind === undefined) {
      expect(match).toBeGreaterThan(0);
      break;
    }
    await world.run(20);
  }
  expect(await refusal(world, client, { promote: [idOf(fresh)] })).toBe("done");
  expect((await learnerOf(world, client, fresh)).role).toBe("voter");
  await world.wait(client.close());
  await world.stop();
});

test("a learner that died in the middle of its transfer is no voter to be, dead or back again", async () => {
  const { world, client, fresh } = await withStuckLearner();
  fresh.isDiskHung = false;
  fresh.crash("lost");
  await world.run(2000);
  expect((await learnerOf(world, client, fresh)).behind).toBe("the leader has not heard of it lately");
  expect(await refusal(world, client, { promote: [idOf(fresh)] })).toContain("has not heard of it lately");
  await world.wait(client.put("meanwhile", "1"));
  fresh.join(world.machines[0]!);
  const states: string[] = [];
  for (;;) {
    const { match, behind } = await learnerOf(world, client, fresh);
    const said = await refusal(world, client, { promote: [idOf(fresh)] });
    states.push(`${match === 0 ? "nothing" : "something"}: ${said.split(":")[0]}`);
    if (said === "done") break;
    expect(said).toContain("ErrBehind");
    expect(behind).toBeDefined();
  }
  expect(states[0]).toBe("nothing: ErrBehind");
  expect(states.at(-1)).toEndWith(": done");
  await world.wait(client.close());
  await world.stop();
});

test("a learner that lacks few entries and many bytes of the log is behind", async () => {
  const world = new World(1, 1);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  const fresh = world.add();
  fresh.join(world.machines[0]!);
  await world.until(
    () => fresh.lines.some((line) => line.includes("is a learner of cluster")),
    "it was let in",
  );
  await world.run(500);
  expect((await learnerOf(world, client, fresh)).behind).toBeUndefined();
  fresh.isDiskHung = true;
  for (let at = 0; at < 12; at++) await world.wait(client.put(`key ${at}`, new Uint8Array(1_000_000)));
  const { lag, lagBytes, behind } = await learnerOf(world, client, fresh);
  expect(lag).toBeLessThan(20);
  expect(lagBytes).toBeGreaterThan(10_000_000);
  expect(behind).toMatch(/^it lacks \d+ entries of the log, about 1\d\.\d MB$/);
  fresh.isDiskHung = false;
  await world.run(3000);
  expect((await learnerOf(world, client, fresh)).behind).toBeUndefined();
  await world.wait(client.close());
  await world.stop();
});
