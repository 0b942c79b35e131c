import { afterAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { until } from "./wait.ts";
import { Workload } from "./workload.ts";

// One node of three may be gone for good; with two gone nothing is answered that is not certain, and nothing is lost.

afterAll(cleanUp);

test("one node of three is stopped for good: all goes on", async () => {
  await using cluster = await Cluster.start();
  const clients = [0, 1].map(() => cluster.client({ timeoutMs: 20_000 }));
  const workload = new Workload(clients);
  const leader = await cluster.awaitLeader();
  expect(await cluster.stop(leader)).toBe(0);
  await cluster.awaitLeader();
  const before = workload.acknowledgedCount;
  await until("more writes", () => workload.acknowledgedCount > before + 100);
  await workload.stop();
  await workload.check(cluster.client());
  expect(workload.unknownCount).toBe(0);
  const status = await cluster.cli(["status"]);
  expect(status.code).toBe(0);
  expect(status.stdout).toMatch(new RegExp(`${cluster.address(leader)} +no `));
}, 40_000);

test("two of three: writes and reads end with the true exit status (3 or 5), and nothing is lost", async () => {
  // Long elections, so that the leader that is left alone still leads while it is asked.
  const timings = { electionMin: "2s", electionMax: "3s" };
  await using cluster = await Cluster.start({ timings });
  const client = cluster.client();
  for (let number = 0; number < 20; number++) await client.put(`kept ${number}`, `value ${number}`);
  const leader = await cluster.awaitLeader();
  for (const index of cluster.ports.keys()) if (index !== leader) await cluster.kill9(index);

  const fromLeader = ["--timeout", "400ms"];
  const put = await cluster.cli([...fromLeader, "put", "perhaps", "there"]);
  expect(put.stderr).toContain("unknown");
  expect(put).toMatchObject({ stdout: "", code: 5 });
  const get = await cluster.cli([...fromLeader, "get", "kept 1"]);
  expect(get).toMatchObject({ stdout: "", code: 3 });
  expect((await cluster.status())[leader]!.role).toBe("leader");

  await until("the leader stepped down", async () => (await cluster.status())[leader]!.role !== "leader");
  const refused = await cluster.cli([...fromLeader, "put", "never", "there"]);
  expect(refused.stderr).toContain("nothing was changed");
  expect(refused).toMatchObject({ stdout: "", code: 3 });
  expect(await cluster.cli([...fromLeader, "get", "kept 1"])).toMatchObject({ stdout: "", code: 3 });
  expect(await cluster.cli([...fromLeader, "delete", "kept 1"])).toMatchObject({ stdout: "", code: 3 });
  const status = await cluster.cli(["status"]);
  expect(status).toMatchObject({ code: 1 });

  await cluster.kill9(leader);
  expect(await cluster.cli([...fromLeader, "status"])).toMatchObject({ code: 3 });
  for (const index of cluster.ports.keys()) cluster.restart(index);
  await cluster.awaitLeader(40_000);
  for (let number = 0; number < 20; number++)
    expect(await client.get(`kept ${number}`)).toBe(`value ${number}`);
  expect(await client.get("never")).toBeUndefined();
  expect(["there", undefined]).toContain(await client.get("perhaps"));
}, 58_000);
