import { KvraftError } from "../lib/error.ts";
import type { Diagnosed, Diagnosis, DoctorProgress } from "../server/doctor.ts";
import type { Command, Output } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";

/** How often the progress is shown, and how long nothing else gets a turn. */
const turnMs = 50;

export const doctorCommand: Command = {
  name: "doctor",
  summary: "Check the data folder of a stopped server",
  usage: "<data folder>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "Reads everything in the folder (the dataDir of a server's configuration): identity, Raft log, store. Changes nothing.",
    "Prints what is there and, for each thing that is wrong, where, what was found, what was wanted, and what to do.",
    "Status 0 when everything is whole, 1 when damage was found, 2 when the folder is in use or no data folder.",
  ].join("\n"),
  examples: ["kvraft doctor data/server1", "kvraft doctor -o json data/server1"],
  run: async (context, call) => {
    const folder = folderOf(call.positionals[0]!);
    const diagnosis = await examine(folder, context.stderr);
    context.stdout.write(
      call.settings.format === "json" ? diagnosisJson(diagnosis) : diagnosisText(folder, diagnosis),
    );
    return diagnosis.ok ? exitStatus.done : exitStatus.negative;
  },
};

/** Without the slashes at its end, which would stand in every path. */
function folderOf(argument: string): string {
  if (argument === "") throw new KvraftError("USAGE", 'Cannot check "": name a data folder');
  return argument.replace(/(?<=.)\/+$/, "");
}

/** In turns, so that a signal is heard. */
async function examine(folder: string, stderr: Output): Promise<Diagnosis> {
  const { BunDisk } = await import("../env/bun-disk.ts");
  const { SqliteTables } = await import("../env/sqlite-tables.ts");
  const { examineDataFolder } = await import("../server/doctor.ts");
  const steps = examineDataFolder({ disk: new BunDisk(), tables: new SqliteTables() }, folder);
  let turnEndsMs = 0;
  let isShown = false;
  try {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) return step.value;
      if (performance.now() < turnEndsMs) continue;
      if (stderr.isTerminal) stderr.write(`\r\x1b[K${progressText(step.value)}`);
      isShown = stderr.isTerminal;
      await new Promise((resume) => setImmediate(resume));
      turnEndsMs = performance.now() + turnMs;
    }
  } finally {
    if (isShown) stderr.write("\r\x1b[K");
  }
}

function progressText({ part, done, total }: DoctorProgress): string {
  return `checking the ${part}: ${total === 0 ? 100 : Math.floor((100 * done) / total)}%`;
}

/** A part that cannot be read is null. */
function diagnosisJson({ identity, log, store, ...rest }: Diagnosis): string {
  return jsonLine({ ...rest, identity: identity ?? null, log: log ?? null, store: store ?? null });
}

/** What people read. */
function diagnosisText(folder: string, diagnosis: Diagnosis): string {
  const { findings, notes, ok } = diagnosis;
  const result = ok
    ? `"${folder}" is whole`
    : `${count(findings.length, "finding")} in "${folder}"; nothing was changed`;
  return [
    ...summaryOf(diagnosis),
    ...notes.map((note) => `note: ${note}`),
    ...findings.map((finding) => `wrong: ${findingText(finding)}`),
    result,
    "",
  ].join("\n");
}

function summaryOf({ identity, log, store }: Diagnosis): string[] {
  const lines: string[] = [];
  if (identity !== undefined) {
    const { nodeId, state, clusterId, place, members } = identity;
    const where = state === "alone" ? "in no cluster yet" : `of cluster ${clusterId}, ${state}`;
    const rank = state === "alone" ? `place ${place}` : `place ${place} of ${members.list.length}`;
    lines.push(`identity: node ${nodeId} ${where}, ${rank}`);
  }
  if (log !== undefined) {
    const { firstIndex, lastIndex, hardState, segments, bytes } = log;
    const entries = lastIndex < firstIndex ? "no entries" : `entries ${firstIndex} to ${lastIndex}`;
    lines.push(`log: ${entries}, term ${hardState.term}, ${count(segments, "segment")}, ${bytes} bytes`);
  }
  if (store !== undefined) {
    const { sequence, applied, runs, files, rows, bytes } = store;
    lines.push(
      `store: sequence ${sequence}, applied entry ${applied.index} of term ${applied.term}, ${count(runs, "run")}, ` +
        `${count(files, "file")}, ${count(rows, "row")}, ${bytes} bytes`,
    );
  }
  return lines;
}

function findingText({ file, offset, block, lastBlock, key, found, wanted, advice }: Diagnosed): string {
  const places = [
    offset === undefined ? "" : ` at byte ${offset}`,
    block === undefined
      ? ""
      : lastBlock === undefined
        ? ` block ${block}`
        : ` blocks ${block} to ${lastBlock}`,
    key === undefined ? "" : ` key ${key}`,
  ];
  return `"${file}"${places.join("")}: found ${found}; wanted ${wanted}; ${advice}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
