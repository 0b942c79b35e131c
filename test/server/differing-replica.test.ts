import { expect, test } from "bun:test";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { World } from "./world.ts";

// Goal: a replica that makes something else of the log than the others stops and says where, and only that one does. Method: whole
// nodes, one of which is given another byte in one command, as bad memory would do it.

test("of three replicas the one that differs stops, whether it leads or not, and says after which entries", async () => {
  // One of the three leads.
  for (const place of [0, 1, 2]) {
    const world = new World(3, 1, { agreementEntries: 8 });
    const { applyCommand, restore } = StateMachine.prototype;
    const born: StateMachine[] = [];
    StateMachine.prototype.restore = function (this: StateMachine, index: number): void {
      if (!born.includes(this)) born.push(this);
      restore.call(this, index);
    };
    const wrong = new Set<StateMachine>();
    StateMachine.prototype.applyCommand = function (this: StateMachine, index, data) {
      if (index !== 20 || !wrong.has(this)) return applyCommand.call(this, index, data);
      const other = data.slice();
      other[other.length - 1]! ^= 1;
      return applyCommand.call(this, index, other);
    };
    try {
      world.start();
      await world.until(() => world.leader !== undefined, "a leader");
      expect(born.length).toBe(3);
      const client = world.client();
      await world.wait(client.put("a", "0"));
      wrong.add(born[place]!);
      const load = Promise.all(Array.from({ length: 60 }, (_, at) => client.put(`k${at % 5}`, `v${at}`)));
      await world.wait(load);
      await world.until(() => world.machines.some(({ failure }) => failure !== undefined), "one stops");
      await world.run(1000);
      const failed = world.machines.filter(({ failure }) => failure !== undefined);
      expect(failed.length).toBe(1);
      expect(failed[0]!.failure!.code).toBe("CORRUPTION");
      expect(failed[0]!.failure!.message).toContain("differs from that of a majority");
      expect(failed[0]!.failure!.message).toContain("from 17 to 24");
      await world.wait(client.put("b", "1"));
      expect(await world.wait(client.get("b"))).toBe("1");
      await world.wait(client.close());
      await world.stop();
    } finally {
      StateMachine.prototype.applyCommand = applyCommand;
      StateMachine.prototype.restore = restore;
    }
  }
}, 30_000);
