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
    "    const isFree = this.#vote === message.from || (this.#vote === undefined && this.#leader === undefined);\n    const granted = isFree && this.#log.isUpToDate(message.last);",
    "    const isFree = this.#vote === message.from || (this.#vote === undefined && this.#leader === undefined);\n    const granted = isFree;",
  ],
  [
    "skip up-to-date in pre-vote",
    "raft.ts",
    "    const isFree = message.term > this.#term && !this.#hearsLeader() && !goesFirst;\n    const granted = isFree && this.#log.isUpToDate(message.last);",
    "    const isFree = message.term > this.#term && !this.#hearsLeader() && !goesFirst;\n    const granted = isFree;",
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
    "if (this.#hardStateChanged || this.#log.hasUnwritten) this.#outbox.hold(nextId, message);",
    "if (nextId < 0) this.#outbox.hold(nextId, message);",
  ],
  [
    "replies not held for write in flight",
    "raft.ts",
    "else if (current !== undefined) this.#outbox.hold(current.id, message);",
    "else if (current === null) this.#outbox.hold(nextId, message);",
  ],
  [
    "replies held for the wrong write",
    "raft.ts",
    "this.#outbox.hold(nextId, message)",
    "this.#outbox.hold(Math.max(1, nextId - 1), message)",
  ],
  [
    "commit past verified",
    "follower.ts",
    "this.#log.commitTo(Math.min(message.commit, verified));",
    "this.#log.commitTo(Math.min(message.commit, this.#log.lastIndex));",
  ],
  [
    "truncate on delayed append",
    "raft-log.ts",
    "if (first < 0) return [];",
    "if (first < 0) { const end = entries.at(-1)?.index; if (end !== undefined && end < this.lastIndex && end >= this.#commit) { this.#truncate(end + 1); } return []; }",
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
    "if (isQuorum(configuration(), has)) this.#reads.confirm();",
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
    "    const isFree = message.term > this.#term && !this.#hearsLeader() && !goesFirst;\n    const granted = isFree && this.#log.isUpToDate(message.last);",
    "    const granted = goesFirst || true;",
  ],
  [
    "pre-vote skipped",
    "raft.ts",
    "    this.#countVote(this.#options.id, true, true);\n  }",
    "    this.#campaign('', false);\n  }",
  ],
  [
    "no check-quorum",
    "raft.ts",
    "if (!office.checkQuorum()) return",
    "if (!office.checkQuorum() && false) return",
  ],
  ["check-quorum never forgets", "leader.ts", "      progress.isActive = false;\n", ""],
  ["no leader stickiness", "raft.ts", "if (this.#hearsLeader() && !message.isTransfer) return false;", ""],
  [
    "no leader stickiness, pre-vote too",
    "raft.ts",
    "return this.#leader !== undefined && this.#timer.elapsed < this.#options.electionTicksMin;",
    "return false;",
  ],
  [
    "old-term votes counted",
    "raft.ts",
    "if (message.term === this.#term) this.#dispatch(message);",
    "if (message.term === this.#term || message.kind === 'request-vote-reply') this.#dispatch(message);",
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
    "const commit = this.hasCommittedInTerm ? Math.min(match, log.commit) : 0;",
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
    "follower.ts",
    "if (!this.#log.has(message.prev))",
    "if (prev.index > this.#log.lastIndex)",
  ],
  ["vote not reset with term", "raft.ts", "    this.#vote = undefined;\n", ""],
  [
    "term not adopted from replies",
    "raft.ts",
    "    const leader = isFromLeader(message)",
    "    if (message.kind === 'heartbeat-reply') return false;\n    const leader = isFromLeader(message)",
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
  [
    "disk stall ignored",
    "raft.ts",
    "if (why !== undefined) return this.#becomeFollower(this.#term, undefined, why);",
    "",
  ],
  [
    "disk stall: no early step-down",
    "stalls.ts",
    "const isBehind = this.#log.commit > this.#log.durable;",
    "const isBehind = false;",
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
  [
    "lost log not noticed",
    "message-check.ts",
    "if (commit <= log.lastIndex) return undefined;",
    "if (commit >= 0) return undefined;",
  ],
  [
    "timeout not drawn anew",
    "election-timer.ts",
    "    this.#timeout = this.#chance.int(this.#min, this.#max);",
    "    this.#timeout ||= this.#chance.int(this.#min, this.#max);",
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
    "if (answer) this.#outbox.send(answer);",
    "if (answer && false) this.#outbox.send(answer);",
  ],
  [
    "unreachable restarts the search",
    "progress.ts",
    '  becomeUnreachable(): void {\n    if (this.state === "replicate") this.#become("probe");',
    '  becomeUnreachable(): void {\n    this.#become("probe");',
  ],
  [
    "probe of an unreachable follower is no retry",
    "progress.ts",
    "    this.isPaused = true;\n    this.isRetry = true;\n  }\n\n  /** What comes next",
    "    this.isPaused = true;\n  }\n\n  /** What comes next",
  ],
  [
    "granting a vote does not reset the timer",
    "raft.ts",
    "      this.#vote = message.from;\n      this.#timer.reset();",
    "      this.#vote = message.from;",
  ],
  [
    "a hanging store keeps the office",
    "stalls.ts",
    "if (this.#storeTicks < stallTicks || voterCount === 1) return undefined;",
    "return undefined;",
  ],
  [
    "a hanging store does not step down",
    "stalls.ts",
    "if (this.#storeTicks < stallTicks + electionTicksMin && office.transferTo(undefined)) return undefined;",
    "if (office.transferTo(undefined)) return undefined;",
  ],
  [
    "the only voter steps down",
    "stalls.ts",
    " || voterCount === 1) return undefined;",
    ") return undefined;",
  ],
  ["campaigns with a hanging store", "stalls.ts", " && this.#storeTicks < electionTicksMin;", ";"],
  [
    "takes an office over with a hanging store",
    "raft.ts",
    "!isVoter(this.configuration, this.#options.id) || !this.#stalls.mayLead",
    "!isVoter(this.configuration, this.#options.id)",
  ],
  ["stale pre-vote counts", "raft.ts", "if (message.preVote && message.granted) return;", ""],
  [
    "message from itself",
    "raft.ts",
    " || message.from === message.to) return undefined;",
    ") return undefined;",
  ],
  [
    "dropped prev refused",
    "follower.ts",
    "if (prev.index < this.#log.firstIndex - 1) return",
    "if (false) return",
  ],
  [
    "dropped next sent",
    "leader.ts",
    "if (progress.next < log.firstIndex) progress.becomeSnapshot(log.firstIndex);",
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
  ["hung disk campaigns", "stalls.ts", "return !this.#write.hangsFor(electionTicksMin) && ", "return "],
  ["retry carries entries", "leader.ts", "!progress.isRetry && progress.next", "progress.next"],
  [
    "strangers are not heard",
    "raft.ts",
    "message.from === message.to) return undefined;",
    "message.from === message.to || !isVoter(this.configuration, message.from)) return undefined;",
  ],
  ["commit not bounded: max", "raft-log.ts", "if (index <= this.#commit) return false;\n", ""],
  [
    "stuck window never probed",
    "progress.ts",
    "if (this.#waitedTicks < (isAhead ? stuckTicks : probeTicks)) return;",
    "if (isAhead || this.#waitedTicks < probeTicks) return;",
  ],
  [
    "round per read",
    "leader.ts",
    "if (!this.#reads.hasWaiting || this.#reads.isUnderWay) return;",
    "if (!this.#reads.hasWaiting) return; if (this.#reads.isUnderWay) this.#reads.confirm();",
  ],
  // Members that change.
  [
    "quorum of the incoming half only",
    "quorum.ts",
    "return isMajority(configuration.incoming, has) && isMajority(configuration.outgoing, has);",
    "return isMajority(configuration.incoming, has);",
  ],
  [
    "commit by the incoming half only",
    "quorum.ts",
    "return Math.min(majorityIndex(configuration.incoming, held), majorityIndex(configuration.outgoing, held));",
    "return majorityIndex(configuration.incoming, held);",
  ],
  [
    "learner counted in quorums",
    "quorum.ts",
    "return isMajority(configuration.incoming, has) &&",
    "return isMajority([...configuration.incoming, ...configuration.learners], has) &&",
  ],
  [
    "learner counted in commits",
    "quorum.ts",
    "return Math.min(majorityIndex(configuration.incoming, held),",
    "return Math.min(majorityIndex([...configuration.incoming, ...configuration.learners], held),",
  ],
  [
    "change while another is open",
    "raft.ts",
    "!this.#configurations.isSettled || !office.hasCommittedInTerm",
    "!office.hasCommittedInTerm",
  ],
  [
    "change before an own-term commit",
    "raft.ts",
    "!this.#configurations.isSettled || !office.hasCommittedInTerm",
    "!this.#configurations.isSettled",
  ],
  [
    "change while handing over",
    "raft.ts",
    "!office.hasCommittedInTerm || office.isTransferring)",
    "!office.hasCommittedInTerm)",
  ],
  [
    "illegal changes made",
    "raft.ts",
    'if (text !== undefined) return { ok: false, reason: "illegal", text };',
    "",
  ],
  [
    "voters change at once",
    "configurations.ts",
    "return begins || keeps ? undefined :",
    "return true ? undefined :",
  ],
  [
    "joint after joint",
    "configurations.ts",
    "if (to.outgoing.length > 0 || !isSame(from.incoming, to.incoming))",
    "if (false)",
  ],
  [
    "any outgoing half",
    "configurations.ts",
    "to.outgoing.length > 0 && isSame(from.incoming, to.outgoing)",
    "to.outgoing.length > 0",
  ],
  ["a voter as a learner", "configurations.ts", "if (to.learners.some(", "if ([].some("],
  [
    "configuration in force when committed",
    "configurations.ts",
    "return this.#stack[this.#stack.length - 1]!.configuration;",
    "return this.#stack[0]!.configuration;",
  ],
  [
    "configuration not rolled back",
    "configurations.ts",
    "while (this.#stack[this.#stack.length - 1]!.index >= from) this.#stack.pop();",
    "this.#stack.splice(0, this.#stack.length, { index: 0, configuration: this.latest });",
  ],
  [
    "configuration lost at a restart",
    "raft.ts",
    "if (index > options.applied) this.#adopt",
    "if (false) this.#adopt",
  ],
  [
    "follower does not adopt a configuration",
    "follower.ts",
    "this.#added(this.#log.merge(message.entries));",
    "this.#log.merge(message.entries);",
  ],
  ["leader does not adopt its change", "raft.ts", "    this.#adoptConfigurations([entry]);\n", ""],
  [
    "leader counts itself though it leaves",
    "leader.ts",
    "const index = quorumIndex(configuration(), (voter) =>",
    "const { incoming, outgoing, learners } = configuration();\n    const own = incoming.includes(id) ? incoming : [id, ...incoming.slice(1)];\n    const index = quorumIndex({ incoming: own, outgoing, learners }, (voter) =>",
  ],
  ["removed leader stays", "raft.ts", "if (this.#office === undefined || !isOver) return;", "return;"],
  ["removed leader says nothing", "raft.ts", "    this.#office.resign();\n", ""],
  ["learner campaigns", "raft.ts", "if (!this.#configurations.mayLead(this.#options.id) || ", "if ("],
  [
    "who leaves last cannot lead",
    "configurations.ts",
    "return this.#stack.some(({ configuration }) => isVoter(configuration, id));",
    "return isVoter(this.latest, id);",
  ],
  [
    "learner never stops hearing its leader",
    "raft.ts",
    "    this.#leader = undefined;\n    if (!this.#configurations.mayLead(this.#options.id) || this.#term >= termMax) return;\n",
    "    if (!this.#configurations.mayLead(this.#options.id) || this.#term >= termMax) return;\n    this.#leader = undefined;\n",
  ],
  [
    "learners asked for votes",
    "raft.ts",
    "for (const to of voters(this.configuration)) {",
    "for (const to of [...voters(this.configuration), ...this.configuration.learners]) {",
  ],
  [
    "learners sent nothing",
    "leader.ts",
    "new Set(members(configuration()))",
    "new Set(configuration().incoming)",
  ],
  [
    "progress kept when a member leaves",
    "leader.ts",
    "for (const id of this.#progress.keys()) if (!present.has(id)) this.#progress.delete(id);",
    "",
  ],
  // Snapshots.
  [
    "a snapshot one entry too early",
    "leader.ts",
    "if (progress.next < log.firstIndex)",
    "if (progress.next <= log.firstIndex)",
  ],
  ["offers never repeated", "progress.ts", ": this.isPaused;", ': this.isPaused && this.state === "probe";'],
  [
    "offers without end",
    "leader.ts",
    "if (!progress.isPaused) this.#offerSnapshot(to);\n      progress.isPaused = true;",
    "this.#offerSnapshot(to);",
  ],
  [
    "late refusal ends the snapshot",
    "progress.ts",
    'if (index <= this.match || this.state === "snapshot") return false;',
    "if (index <= this.match) return false;",
  ],
  [
    "what is there fetched again",
    "follower.ts",
    "return index < start.index ? undefined",
    "return index <= start.index ? undefined",
  ],
  [
    "an offer proves nothing committed",
    "follower.ts",
    "if (this.#log.has(start)) this.#log.commitTo(start.index);",
    "",
  ],
  [
    "late offer not answered",
    "raft.ts",
    '    else this.#reply({ ...this.#to(message.from), kind: "append-entries-reply", ...answer });',
    "",
  ],
  [
    "restore keeps what the snapshot contradicts",
    "raft-log.ts",
    "const goesOn = this.has(snapshot);",
    "const goesOn = this.lastIndex >= snapshot.index;",
  ],
  [
    "restore drops a log that goes on",
    "raft-log.ts",
    "const goesOn = this.has(snapshot);",
    "const goesOn = false;",
  ],
  [
    "restore forgets the configuration",
    "raft.ts",
    "    this.#configurations.restore(snapshot.index, configuration, goesOn);\n",
    "",
  ],
  [
    "restore keeps configurations of a dropped log",
    "configurations.ts",
    "logGoesOn ? this.#stack",
    "true ? this.#stack",
  ],
  [
    "restore forgets configurations of a log that goes on",
    "configurations.ts",
    "logGoesOn ? this.#stack",
    "false ? this.#stack",
  ],
  [
    "restore answered before the log begins anew",
    "raft.ts",
    "this.#reply({ ...reply, accepted: true, index, hint });\n  }\n\n  /** Asks for",
    "this.#outbox.send({ ...reply, accepted: true, index, hint });\n  }\n\n  /** Asks for",
  ],
  [
    "a new start is nothing to write",
    "raft-log.ts",
    " || (this.#start !== undefined && !this.#isStarting)",
    "",
  ],
  ["start not written", "raft-log.ts", "    return this.#start;\n", "    return undefined;\n"],
  [
    "any write ends the start",
    "raft-log.ts",
    "if (this.#isStarting) this.#start = undefined;",
    "this.#start = undefined;",
  ],
  [
    "second start lost",
    "raft-log.ts",
    "this.#start = snapshot;\n    this.#isStarting = false;",
    "this.#start = snapshot;",
  ],
  [
    "covered entries are not durable",
    "raft-log.ts",
    "this.#durable = Math.max(this.#durable, snapshot.index);",
    "",
  ],
  ["snapshot without its term", "raft.ts", "if (snapshot.term > this.#term)", "if (false)"],
  [
    "snapshot without its term, at a start",
    "raft.ts",
    "if (this.#log.isEmpty) this.#reachTerm(this.#log.last.term);",
    "",
  ],
  [
    "leader goes on with another's state",
    "raft.ts",
    "else if (this.#office !== undefined)\n      this.#becomeFollower",
    "else if (false)\n      this.#becomeFollower",
  ],
  [
    "acceptances of a dropped log leave",
    "raft.ts",
    'if (!goesOn) this.#outbox.forgetHeld("append-entries-reply");',
    "",
  ],
  // Handing over.
  [
    "handed over before the log is there",
    "leader.ts",
    "if (this.#progress.get(this.#transfer.to)?.match !== this.#options.log.lastIndex) return;",
    "",
  ],
  [
    "campaign of a transfer ignored",
    "raft.ts",
    "if (this.#hearsLeader() && !message.isTransfer) return false;",
    "if (this.#hearsLeader()) return false;",
  ],
  [
    "pre-votes for a transfer",
    "raft.ts",
    'this.#campaign("the leader hands over", true);',
    "this.#preCampaign();",
  ],
  [
    "transfer never given up",
    "leader.ts",
    "++this.#transfer.ticks >= stuckTicks",
    "++this.#transfer.ticks >= Infinity",
  ],
  ["proposals while handing over", "raft.ts", " || this.#office!.isTransferring)", ")"],
  [
    "handed over to a learner",
    "leader.ts",
    "return this.#progress.has(id) && isVoter(this.#options.configuration(), id);",
    "return this.#progress.has(id);",
  ],
  [
    "learner told to campaign does",
    "raft.ts",
    "if (!isVoter(this.configuration, this.#options.id) || !this.#stalls.mayLead) return;",
    "if (!this.#stalls.mayLead) return;",
  ],
  ["handed over to anybody", "leader.ts", "match <= bestMatch", "best !== undefined"],
  [
    "handed over to the silent",
    "leader.ts",
    "!this.#mayLead(id) || !isHeard ||",
    "!this.#mayLead(id) || (!isHeard && false) ||",
  ],
  ["asked to campaign again and again", "leader.ts", "    this.#transfer.isAsked = true;\n", ""],
  // A process that is gone.
  [
    "anybody's end is the leader's",
    "raft.ts",
    'if (this.#role !== "follower" || this.#leader !== id) return;',
    'if (this.#role !== "follower") return;',
  ],
  [
    "the leader hears that it is gone",
    "raft.ts",
    'if (this.#role !== "follower" || this.#leader !== id) return;',
    "if (this.#leader !== id) return;",
  ],
  ["no hurry when the leader is gone", "raft.ts", "    this.#timer.hurry();\n", ""],
  [
    "of two that begin at once none goes first",
    "ballot.ts",
    "return isEqual && own.from > other.from;",
    "return isEqual && own.from === other.from;",
  ],
  [
    "the one that goes first holds the other up for ever",
    "raft.ts",
    'this.#role === "pre-candidate" && this.#timer.elapsed < this.#options.heartbeatTicks;',
    'this.#role === "pre-candidate";',
  ],
  [
    "the end of the leader delays a campaign",
    "election-timer.ts",
    "Math.min(this.#timeout, this.elapsed + this.#chance.int(1, goneTicksMax))",
    "this.elapsed + this.#chance.int(1, goneTicksMax)",
  ],
  [
    "a leader that is gone is still heard",
    "raft.ts",
    "    this.#leader = undefined;\n    this.#timer.hurry",
    "    this.#timer.hurry",
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
