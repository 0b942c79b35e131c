import { aMinority, anyOne, everybody, theLeader } from "./choices.ts";
import { type Choice, type Fault, namesOf } from "./fault.ts";
import { cutOff } from "./links.ts";

/** kill -9, and a start when it is over. A start that comes at once finds peers that have not noticed. */
function kill(name: string, weight: number, choose: Choice, holdMsMax: number): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const { nodes } = stage;
      const victims = await choose(stage, prng);
      if (!nodes.take(victims)) return undefined;
      await Promise.all(victims.map((index) => nodes.kill(index)));
      const holdMs = prng.chance(1, 4) ? 0 : prng.int(0, holdMsMax);
      const heal = () => {
        for (const index of victims) nodes.start(index);
        nodes.giveBack(victims);
      };
      return { whom: namesOf(victims), holdMs, heal };
    },
  };
}

/** SIGSTOP and SIGCONT: who was stopped does not know that time has passed, and finds its sockets full. */
function pause(name: string, weight: number, choose: Choice, holdMsMax: number): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const { nodes } = stage;
      const victims = await choose(stage, prng);
      if (!nodes.take(victims)) return undefined;
      const resumes = victims.map((index) => nodes.pause(index));
      const heal = () => {
        for (const resume of resumes) resume();
        nodes.giveBack(victims);
      };
      return { whom: namesOf(victims), holdMs: prng.int(200, holdMsMax), heal };
    },
  };
}

/**
 * A leader sleeps, and when it wakes up it hears of no other for a while. It believes that it leads, and the questions in
 * its sockets are older than its belief: the hardest moment for reads.
 */
const wakeAlone: Fault = {
  name: "pause the leader, and wake it alone",
  weight: 6,
  begin: async (stage, prng) => {
    const { nodes, links } = stage;
    const victims = await theLeader(stage, prng);
    const [leader] = victims;
    if (leader === undefined || !nodes.take(victims)) return undefined;
    const join = links.impose(cutOff(victims));
    const resume = nodes.pause(leader);
    const aloneMs = prng.int(100, 700);
    const heal = async () => {
      resume();
      await Bun.sleep(aloneMs);
      join();
      nodes.giveBack(victims);
    };
    return { whom: namesOf(victims), holdMs: prng.int(700, 2_500), heal };
  },
};

/** SIGTERM: a leader hands over, the node stores what it has applied, and ends in order. */
function restart(name: string, weight: number, choose: Choice): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const { nodes } = stage;
      const victims = await choose(stage, prng);
      if (!nodes.take(victims)) return undefined;
      await Promise.all(victims.map((index) => nodes.stop(index)));
      const heal = () => {
        for (const index of victims) nodes.start(index);
        nodes.giveBack(victims);
      };
      return { whom: namesOf(victims), holdMs: prng.int(0, 2_000), heal };
    },
  };
}

/** No harm by itself, but in the middle of others. */
const handOver: Fault = {
  name: "hand the leadership over",
  weight: 4,
  begin: async ({ nodes }) => {
    const over = nodes.handOver();
    return { whom: "whoever leads", holdMs: 0, heal: () => over };
  },
};

/** The node stops by itself, with status 1, as soon as it wants to write. */
const fillDisk: Fault = {
  name: "fill a disk",
  weight: 3,
  begin: async (stage, prng) => {
    const { nodes } = stage;
    if (!nodes.canFillDisks) return undefined;
    const victims = await (prng.chance(1, 2) ? theLeader : anyOne)(stage, prng);
    const [victim] = victims;
    if (victim === undefined || !nodes.take(victims)) return undefined;
    nodes.fillDisk(victim);
    const heal = async () => {
      await nodes.emptyDisk(victim);
      nodes.giveBack(victims);
    };
    return { whom: namesOf(victims), holdMs: prng.int(500, 4_000), heal };
  },
};

/** Short ones, of which one begins at every beat. */
export const quickProcessFaults: readonly Fault[] = [
  kill("kill one", 3, anyOne, 1_500),
  kill("kill the leader", 5, theLeader, 1_500),
  kill("kill a minority", 2, aMinority, 1_500),
  kill("kill all", 1, everybody, 500),
  pause("pause one", 3, anyOne, 3_000),
  pause("pause the leader", 7, theLeader, 3_000),
  pause("pause all", 1, everybody, 1_000),
  wakeAlone,
  handOver,
];

/** Those that take longer, and of which one at a time is under way. */
export const slowProcessFaults: readonly Fault[] = [
  kill("keep one down", 2, anyOne, 7_000),
  restart("restart one in order", 3, anyOne),
  restart("restart the leader in order", 3, theLeader),
  fillDisk,
];
