import type { Prng } from "../../src/env/prng.ts";
import type { Weather } from "../e2e/proxy.ts";
import { anyOne, drawSome, theLeader } from "./choices.ts";
import { type Begun, type Choice, type Fault, namesOf, type Stage } from "./fault.ts";
import { cut, cutOff, type Link } from "./links.ts";

/** It has done something when frames were lost meanwhile. */
function losing({ links }: Stage, begun: Begun): Begun {
  const before = links.framesLost;
  let met = false;
  const heal = () => {
    met = links.framesLost > before;
    return begun.heal();
  };
  return { ...begun, heal, met: () => met };
}

function isolate(name: string, weight: number, choose: Choice): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const side = await choose(stage, prng);
      if (side.length === 0) return undefined;
      const heal = stage.links.impose(cutOff(side));
      return losing(stage, { whom: namesOf(side), holdMs: prng.int(300, 2_500), heal });
    },
  };
}

const half: Choice = async ({ nodes }, prng) => {
  const all = nodes.members;
  return drawSome(prng, all, prng.int(1, all.length - 1));
};

/** What one node sends does not arrive, or nothing arrives at it: it hears and is not heard, or the other way round. */
function cutOneWay(name: string, weight: number, choose: Choice): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const [node] = await choose(stage, prng);
      if (node === undefined) return undefined;
      const isDeaf = prng.chance(1, 2);
      const heal = stage.links.impose(({ from, to }) =>
        from.kind === "node" && (isDeaf ? to : from.index) === node ? cut : undefined,
      );
      const whom = `${namesOf([node])}, which ${isDeaf ? "hears nobody" : "nobody hears"}`;
      return losing(stage, { whom, holdMs: prng.int(300, 2_500), heal });
    },
  };
}

const cutClients: Fault = {
  name: "cut clients off from some nodes",
  weight: 3,
  begin: async (stage, prng) => {
    const nodes = await half(stage, prng);
    const clients = drawSome(prng, clientsOf(stage), prng.int(1, stage.clientCount));
    const heal = stage.links.impose(({ from, to }) =>
      from.kind === "client" && clients.includes(from.index) && nodes.includes(to) ? cut : undefined,
    );
    const whom = `${namesOf(nodes)} from ${clients.length} clients`;
    return losing(stage, { whom, holdMs: prng.int(500, 4_000), heal });
  },
};

/** Frames are lost and overtake each other, on some links between nodes and some from clients. */
const badWeather: Fault = {
  name: "lose and delay frames",
  weight: 4,
  begin: async ({ links }, prng) => {
    const weather: Weather = {
      lossPercent: prng.int(0, 30),
      delayPercent: prng.int(0, 30),
      delayMsMin: prng.int(0, 20),
      delayMsMax: prng.int(20, 1_000),
    };
    const concerned = drawLinks(prng);
    const heal = links.impose((link) => (concerned(link) ? weather : undefined));
    const { lossPercent, delayPercent, delayMsMax } = weather;
    return {
      whom: `${lossPercent} % lost, ${delayPercent} % up to ${delayMsMax} ms late, on some links`,
      holdMs: prng.int(1_000, 6_000),
      heal,
    };
  },
};

const reset: Fault = {
  name: "reset connections",
  weight: 3,
  begin: async ({ links }, prng) => {
    const count = links.reset(drawLinks(prng));
    return { whom: `${count} of them`, holdMs: 0, heal: () => {} };
  },
};

/** Each link with equal chance, decided once for each. */
function drawLinks(prng: Prng): (link: Link) => boolean {
  const decided = new Map<Link, boolean>();
  const percent = prng.pick([10, 50, 100]);
  return (link) => {
    const isIn = decided.get(link) ?? prng.chance(percent, 100);
    decided.set(link, isIn);
    return isIn;
  };
}

function clientsOf({ clientCount }: Stage): number[] {
  return Array.from({ length: clientCount }, (_, index) => index);
}

/** Partitions between nodes, of which one begins at a beat. */
export const partitions: readonly Fault[] = [
  isolate("isolate one", 2, anyOne),
  isolate("isolate the leader", 8, theLeader),
  isolate("partition in two", 3, half),
  cutOneWay("cut one way", 2, anyOne),
  cutOneWay("cut the leader one way", 3, theLeader),
];

/** What happens beside them. */
export const slowNetworkFaults: readonly Fault[] = [cutClients, badWeather, reset];
