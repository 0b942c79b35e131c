import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Tests the tests: breaks a copy of the core in one way after another, and asks whether any test goes red.
 *
 *     bun test/raft/mutations.ts           all of them; some minutes
 *     bun test/raft/mutations.ts pre-vote  those whose name contains the word
 *
 * The random clusters stay out (RUNS=0) unless RUNS is set: each break must be caught by a test that names the rule.
 * Ends with status 1 when a break was not noticed, or when the text to be broken is not there any more.
 */
const mutations: readonly (readonly [name: string, file: string, from: string, to: string])[] = [
  [
    "count old-term entries",
    "leader.ts",
    "if (index <= log.commit || log.term(index) !== term) return false;",
    "if (index <= log.commit) return false;",
  ],
  [
    "skip up-to-date check",
    "raft.ts",
    "const granted = isFree && this.#log.isUpToDate(message.last);",
    "const granted = isFree;",
  ],
  [
    "skip up-to-date in pre-vote",
    "raft.ts",
    "!this.#hearsLeader() && this.#log.isUpToDate(message.last);",
    "!this.#hearsLeader();",
  ],
  [
    "vote twice per term",
    "raft.ts",
    "const isFree = this.#vote === message.from || (this.#vote === undefined && this.#leader === undefined);",
    "const isFree = this.#role !== 'leader' && this.#role !== 'candidate';",
  ],
  [
    "own vote before durable",
    "raft.ts",
    '    this.#reply({ ...this.#to(this.#options.id), kind: "request-vote-reply", preVote: false, granted: true });',
    "    this.#countVote(this.#options.id, true, false);",
  ],
  [
    "replies not held",
    "raft.ts",
    "if (this.#hardStateChanged || this.#log.hasUnwritten) this.#outbox.hold(this.#writeCount + 1, message);",
    "if (false) this.#outbox.hold(this.#writeCount + 1, message);",
  ],
  [
    "replies not held for write in flight",
    "raft.ts",
    "else if (this.#write !== undefined) this.#outbox.hold(this.#write.id, message);",
    "",
  ],
  [
    "replies held for the wrong write",
    "raft.ts",
    "this.#outbox.hold(this.#writeCount + 1, message)",
    "this.#outbox.hold(Math.max(1,this.#writeCount), message)",
  ],
  [
    "commit past verified",
    "raft.ts",
    "this.#log.commitTo(Math.min(message.commit, verified));",
    "this.#log.commitTo(Math.min(message.commit, this.#log.lastIndex));",
  ],
  [
    "truncate on delayed append",
    "raft-log.ts",
    "if (first < 0) return;",
    "if (first < 0) { const end = entries.at(-1)?.index; if (end !== undefined && end < this.lastIndex && end >= this.#commit) { this.#truncate(end + 1); } return; }",
  ],
  [
    "matchIndex goes back",
    "progress.ts",
    "    if (isNew) {\n      this.match = index;",
    "    this.match = index;\n    if (isNew) {",
  ],
  [
    "ABA durable: wrote compares index only",
    "raft-log.ts",
    "if (entry.index !== this.#durable + 1 || !this.has(entry)) break;",
    "if (entry.index !== this.#durable + 1 || entry.index > this.lastIndex) break;",
  ],
  [
    "ABA: durable not lowered on truncate",
    "raft-log.ts",
    "this.#durable = Math.min(this.#durable, from - 1);",
    "",
  ],
  [
    "ABA: front dropped past unwritten",
    "raft-log.ts",
    "const kept = Math.min(this.#durable + 1, this.#unwritten);",
    "const kept = this.#durable + 1;",
  ],
  [
    "read without quorum",
    "leader.ts",
    "if (isQuorum(configuration, has)) this.#reads.confirm();",
    "if (has(id)) this.#reads.confirm();",
  ],
  [
    "read before own-term commit",
    "raft.ts",
    "this.#office === undefined || !this.#office.hasCommittedInTerm",
    "this.#office === undefined",
  ],
  [
    "late heartbeat confirms newer read",
    "leader.ts",
    "progress.confirmedContext = Math.max(progress.confirmedContext, reply.context);",
    "progress.confirmedContext = this.#reads.context;",
  ],
  ["read context not counted up", "read-rounds.ts", "    this.#counter++;\n", "    this.#counter = 1;\n"],
  ["read index taken late", "read-rounds.ts", "index: commit };", "index: Math.max(0, commit - 1) };"],
  [
    "pre-vote always granted",
    "raft.ts",
    "const granted = message.term > this.#term && !this.#hearsLeader() && this.#log.isUpToDate(message.last);",
    "const granted = true;",
  ],
  [
    "pre-vote skipped",
    "raft.ts",
    "    this.#countVote(this.#options.id, true, true);\n  }",
    "    this.#campaign();\n  }",
  ],
  ["no check-quorum", "raft.ts", "if (!office.checkQuorum()) {", "if (!office.checkQuorum() && false) {"],
  [
    "check-quorum never forgets",
    "leader.ts",
    "for (const progress of this.#progress.values()) progress.isActive = false;",
    "",
  ],
  ["no leader stickiness", "raft.ts", "if (this.#hearsLeader()) return false;", ""],
  [
    "no leader stickiness, pre-vote too",
    "raft.ts",
    "return this.#leader !== undefined && this.#electionElapsed < this.#options.electionTicksMin;",
    "return false;",
  ],
  [
    "old-term votes counted",
    "raft.ts",
    "    if (message.term < this.#term) {\n      this.#answerLowerTerm(message);\n      return;",
    "    if (message.term < this.#term && message.kind !== 'request-vote-reply') {\n      this.#answerLowerTerm(message);\n      return;",
  ],
  ["held old-term messages released", "raft.ts", "if (message.term !== this.#term) continue;", ""],
  [
    "break in commit search",
    "leader.ts",
    "if (index <= log.commit || log.term(index) !== term) return false;",
    "for (let i = log.commit + 1; i <= index; i++) if (log.term(i) !== term) return false;\n    if (index <= log.commit) return false;",
  ],
  ["quorum of half", "quorum.ts", "count > ids.length / 2", "count >= ids.length / 2"],
  [
    "quorumIndex one off",
    "quorum.ts",
    "descending[Math.floor(ids.length / 2)]",
    "descending[Math.floor((ids.length - 1) / 2)]",
  ],
  [
    "leader counts memory, not disk",
    "leader.ts",
    "voter === id ? log.durable :",
    "voter === id ? log.lastIndex :",
  ],
  [
    "takeCommitted ignores durable",
    "raft-log.ts",
    "const limit = Math.min(this.#commit, this.#durable) + 1;",
    "const limit = this.#commit + 1;",
  ],
  [
    "heartbeat carries full commit",
    "leader.ts",
    "const commit = Math.min(match, log.commit);",
    "const commit = match * 0 + log.commit;",
  ],
  [
    "accept beyond the leader's log",
    "leader.ts",
    "if (reply.index > this.#options.log.lastIndex) return;",
    "",
  ],
  [
    "no log matching check",
    "raft.ts",
    "if (!this.#log.has(message.prev)) {",
    "if (message.prev.index > this.#log.lastIndex) {",
  ],
  ["vote not reset with term", "raft.ts", "      this.#vote = undefined;\n", ""],
  [
    "term not adopted from replies",
    "raft.ts",
    "    const isFromLeader =",
    "    if (message.kind === 'heartbeat-reply') return false;\n    const isFromLeader =",
  ],
  ["probe never repeated", "progress.ts", "    this.#waitedTicks++;\n", ""],
  ["window never freed", "progress.ts", "if (freed > 0) this.#inFlight.splice(0, freed);", ""],
  ["window unbounded", "leader.ts", "progress.inFlightBytes < windowBytesMax &&", ""],
  [
    "busy never said",
    "raft.ts",
    "this.#uncommittedBytes > this.#options.uncommittedBytesMax",
    "this.#uncommittedBytes > Infinity",
  ],
  [
    "hint ignored",
    "leader.ts",
    "progress.refused(reply.index, this.#options.log.lastAgreement(reply.hint).index);",
    "progress.refused(reply.index, reply.index - 1);",
  ],
  ["disk stall ignored", "raft.ts", "if (this.#isDiskStalled()) {", "if (this.#isDiskStalled() && false) {"],
  [
    "disk stall: no early step-down",
    "raft.ts",
    "return isAhead && this.#write",
    "return false && this.#write",
  ],
  [
    "heartbeats wait for disk",
    "raft.ts",
    '    this.#outbox.send({ ...this.#to(message.from), kind: "heartbeat-reply", context: message.context });',
    '    this.#reply({ ...this.#to(message.from), kind: "heartbeat-reply", context: message.context });',
  ],
  [
    "replication waits for the disk",
    "leader.ts",
    "progress.next <= log.lastIndex &&\n      progress.inFlightBytes",
    "progress.next <= log.durable &&\n      progress.inFlightBytes",
  ],
  ["overslept ignored", "raft.ts", 'if (this.#role === "leader" && ticks >=', "if (false && ticks >="],
  ["lost log not noticed", "raft.ts", "if (message.commit > this.#log.lastIndex)", "if (false)"],
  [
    "timeout not drawn anew",
    "raft.ts",
    "    this.#electionTimeout = this.#options.chance.int(",
    "    this.#electionTimeout ||= this.#options.chance.int(",
  ],
  ["no no-op", "raft.ts", 'this.#append("noop", emptyBytes);', ""],
  [
    "candidate ignores same-term leader",
    "raft.ts",
    'if (this.#role !== "follower") this.#becomeFollower(this.#term, leader, "another node leads the term");',
    "",
  ],
  [
    "lower term not answered",
    "raft.ts",
    'if (message.kind === "append-entries" || message.kind === "heartbeat")\n      this.#outbox',
    "if (false)\n      this.#outbox",
  ],
  [
    "unreachable restarts the search",
    "progress.ts",
    '  becomeUnreachable(): void {\n    if (this.state === "replicate") this.#become("probe");',
    '  becomeUnreachable(): void {\n    this.#become("probe");',
  ],
  ["stale pre-vote counts", "raft.ts", "if (message.preVote && message.granted) return;", ""],
  ["message from itself", "raft.ts", "message.from === id || ", ""],
  ["dropped prev refused", "raft.ts", "if (message.prev.index < this.#log.firstIndex - 1) {", "if (false) {"],
  [
    "dropped next sent",
    "leader.ts",
    "if (progress.next < log.firstIndex) progress.skipTo(log.firstIndex);",
    "",
  ],
  [
    "busy count forgets terms",
    "raft.ts",
    "if (entry.term === this.#term) this.#uncommittedBytes -=",
    "this.#uncommittedBytes -=",
  ],
  [
    "merge replaces all",
    "raft-log.ts",
    "entries.findIndex((entry) => !this.has(entry))",
    "(entries.length > 0 ? 0 : -1)",
  ],
  ["truncate keeps unwritten mark", "raft-log.ts", "this.#unwritten = Math.min(this.#unwritten, from);", ""],
  [
    "hung disk campaigns",
    "raft.ts",
    "if (this.#write !== undefined && this.#writeTicks >= this.#options.electionTicksMin) return;",
    "",
  ],
  ["retry carries entries", "leader.ts", "!progress.isRetry && progress.next", "progress.next"],
  ["strangers vote", "raft.ts", " || !isVoter(this.#configuration, message.from)) return;", ") return;"],
  ["commit not bounded: max", "raft-log.ts", "if (index <= this.#commit) return false;\n", ""],
  [
    "stuck window never probed",
    "progress.ts",
    'if (this.#waitedTicks < (this.state === "probe" ? probeTicks : stuckTicks)) return;',
    'if (this.state === "replicate" || this.#waitedTicks < probeTicks) return;',
  ],
  [
    "round per read",
    "leader.ts",
    "if (!this.#reads.hasWaiting || this.#reads.isUnderWay) return;",
    "if (!this.#reads.hasWaiting) return; if (this.#reads.isUnderWay) this.#reads.confirm();",
  ],
];

const root = join(import.meta.dir, "../..");
const word = process.argv[2] ?? "";
const folder = mkdtempSync(join(tmpdir(), "kvraft-mutations-"));
for (const part of ["src/lib", "src/env", "src/raft", "test/raft", "package.json", "tsconfig.json"])
  cpSync(join(root, part), join(folder, part), { recursive: true });
symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));

let missed = 0;
for (const [name, file, from, to] of mutations.filter(([name]) => name.includes(word))) {
  const path = join(folder, "src/raft", file);
  const text = readFileSync(path, "utf8");
  if (text.split(from).length !== 2) {
    missed++;
    process.stdout.write(`cannot break: ${name}\n`);
    continue;
  }
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  const red = failing();
  writeFileSync(path, text);
  if (red.length === 0) missed++;
  process.stdout.write(
    red.length === 0 ? `NOT NOTICED: ${name}\n` : `${name}: ${red.length} red, first ${red[0]}\n`,
  );
}
rmSync(folder, { recursive: true });
process.exitCode = missed === 0 ? 0 : 1;

/** The names of the tests that fail. */
function failing(): string[] {
  const run = Bun.spawnSync([process.execPath, "test", "test/raft/"], {
    cwd: folder,
    env: { RUNS: "0", ...process.env },
    timeout: 120_000,
  });
  if (run.exitCode === 0) return [];
  const lines = `${run.stdout}${run.stderr}`.split("\n");
  const red = lines.filter((line) => line.startsWith("(fail)")).map((line) => line.slice(7));
  return red.length > 0 ? red : ["the run itself"];
}
