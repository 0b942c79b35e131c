/**
 * `make canaries`: rewrites CANARIES.md with what the simulator needs today to find each deliberate fault: the number of seeds from
 * 1, from 10,001, and from 20,001 on. NEW=1 looks only for those that the table does not have yet.
 */
import { readdirSync } from "node:fs";
import type { Canary } from "./canary.ts";

const names = readdirSync("test/sim/canaries")
  .map((name) => name.replace(/\.ts$/, ""))
  .sort();
const starts = [1, 10_001, 20_001];
/** Beyond this many a series is given up. */
const runsMax = 600;

async function seedsNeeded(
  name: string,
  start: number,
): Promise<{ readonly seeds: number; readonly found: string }> {
  const child = Bun.spawn([
    process.execPath,
    "test/sim/canary-main.ts",
    name,
    String(start),
    String(runsMax),
  ]);
  return JSON.parse(await new Response(child.stdout).text());
}

const known = await Bun.file("test/sim/CANARIES.md").text();
const rows = new Map<string, string>();
const { NEW: isOnlyNew } = process.env;
if (isOnlyNew === "1")
  for (const [row, name] of known.matchAll(/^\| `([a-z-]+)` \|.*$/gm)) rows.set(name!, row);
const queue = names.filter((name) => !rows.has(name));
async function work(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const { canary } = (await import(`./canaries/${name}.ts`)) as { readonly canary: Canary };
    const results: Awaited<ReturnType<typeof seedsNeeded>>[] = [];
    for (const start of starts) results.push(await seedsNeeded(name, start));
    const needed = results.map(({ seeds }) => (seeds === 0 ? `> ${runsMax}` : String(seeds)));
    const found = results.find(({ seeds }) => seeds > 0)?.found ?? "";
    rows.set(
      name,
      `| \`${name}\` | ${canary.fault} | ${needed.join(", ")} | ${canary.kinds?.join(", ") ?? "any"} | ${canary.runsMax} | ${readable(found)} |`,
    );
    console.log(`${name}: ${needed.join(", ")}`);
  }
}
await Promise.all([work(), work()]);

/** Without what differs from run to run, and short. */
function readable(found: string): string {
  const text = found.replace(/\b[0-9a-f]{16}\b/g, "a node").replaceAll("|", "/");
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}

await Bun.write(
  "test/sim/CANARIES.md",
  `# Canaries: deliberate faults that the simulator has to find

Each is a file in \`canaries/\` that changes a line or two of the production code while it is loaded, in a process of its own.
\`canaries.test.ts\` runs each from its first seed on and gives it the bound. \`make canaries\` rewrites this table: the seeds needed
are counted from 1, from 10,001 and from 20,001. Rare faults are looked for in worlds that have only the kinds of incident they take.

| canary | what is broken | seeds needed | incidents | bound | what the simulator says |
| --- | --- | --- | --- | --- | --- |
${names.map((name) => rows.get(name)).join("\n")}
`,
);
