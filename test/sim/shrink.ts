import type { Plan } from "./plan.ts";

/** A log that is never dropped. */
const keptWhole = { logTailEntries: 100_000, logTailBytes: 64 * 1024 * 1024 };
/** Runs that a shrink may take. */
const attemptsMax = 300;

/**
 * Makes a failing world smaller while it still fails, for whatever reason: fewer incidents, calmer weather, fewer operations and
 * clients. What is left is the story of the failure. `failure` runs a plan and tells why it fails, or undefined.
 */
export async function shrink(
  plan: Plan,
  failure: (plan: Plan) => Promise<string | undefined>,
  tell: (line: string) => void = () => {},
): Promise<Plan> {
  let best = plan;
  let attempts = 0;
  const isStillRed = async (candidate: Plan): Promise<boolean> => {
    if (attempts >= attemptsMax) return false;
    attempts++;
    if ((await failure(candidate)) === undefined) return false;
    best = candidate;
    return true;
  };
  for (let before: Plan | undefined; before !== best && attempts < attemptsMax; ) {
    before = best;
    await dropIncidents(() => best, isStillRed);
    for (const candidate of calmer(best)) await isStillRed({ ...best, ...candidate });
    await fewerOperations(() => best, isStillRed);
    tell(`${attempts} tries: ${best.incidents.length} incidents, ${operationsOf(best)} operations`);
  }
  return best;
}

type IsStillRed = (candidate: Plan) => Promise<boolean>;

/** Leaves out runs of incidents, long ones first. */
async function dropIncidents(best: () => Plan, isStillRed: IsStillRed): Promise<void> {
  for (let length = best().incidents.length; length >= 1; length = Math.floor(length / 2))
    for (let from = 0; from < best().incidents.length; ) {
      const { incidents } = best();
      const rest = [...incidents.slice(0, from), ...incidents.slice(from + length)];
      if (!(await isStillRed({ ...best(), incidents: rest }))) from += length;
    }
}

/** The same world with one thing less that is unusual about it. */
function calmer(plan: Plan): Partial<Plan>[] {
  const { weather, machines } = plan;
  return [
    { weather: { ...weather, lossPerMille: 0 } },
    { weather: { ...weather, duplicatePerMille: 0 } },
    { weather: { ...weather, delayPerMille: 0 } },
    { weather: { ...weather, isChopped: false } },
    { weather: { ...weather, lossPerMille: 0, duplicatePerMille: 0, delayPerMille: 0, isChopped: false } },
    { machines: machines.map((machine) => ({ ...machine, clockRate: 1, skewMs: 0 })) },
    { machines: machines.map((machine) => ({ ...machine, writeMsMin: 1, writeMsMax: 2, syncMsMax: 1 })) },
    { isFormationDisturbed: false },
    { restored: undefined },
    { lastSilence: undefined },
    { limits: { ...plan.limits, ...keptWhole } },
    { valueBytesMax: 16 },
    { keys: 1 },
  ];
}

async function fewerOperations(best: () => Plan, isStillRed: IsStillRed): Promise<void> {
  for (let count = best().clients.length - 1; count >= 1; count--)
    if (!(await isStillRed({ ...best(), clients: best().clients.slice(0, count) }))) break;
  while (best().clients.some(({ operations }) => operations > 1)) {
    const clients = best().clients.map((client) => ({
      ...client,
      operations: Math.ceil(client.operations / 2),
    }));
    if (!(await isStillRed({ ...best(), clients }))) return;
  }
}

function operationsOf(plan: Plan): number {
  return plan.clients.reduce((sum, client) => sum + client.operations, 0);
}
