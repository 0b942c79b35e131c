import type { Clock } from "../env/clock.ts";
import type { NodeId } from "../raft/types.ts";
import type { Boot, ProcessStart } from "../rpc/hello.ts";
import type { BootList } from "./boot-list.ts";
import type { BootMemory } from "./boot-memory.ts";
import type { BootMessage } from "./boot-messages.ts";
import { type BootProblem, bootsToProve, problemOfStart, type Remembered } from "./boot-rules.ts";

export interface AdmissionOptions {
  readonly clock: Clock;
  readonly boots: BootList;
  readonly memory: BootMemory;
  /** Who does not answer for so long is taken for absent, in ms. */
  readonly silenceMs: number;
  /** The boot that the replicated state remembers of a node. */
  readonly replicated: (nodeId: NodeId) => Boot | undefined;
  readonly isMember: (nodeId: NodeId) => boolean;
  /** Sends to exactly that process of the node; false when there is no connection with it. */
  readonly send: (nodeId: NodeId, bootId: string, message: BootMessage) => boolean;
  readonly isConnected: (nodeId: NodeId, bootId: string) => boolean;
  /** No process of the node counts any more: what the one before said is settled, and nothing is made of it later. */
  readonly ended: (nodeId: NodeId) => void;
  /** From now on this process counts. */
  readonly admitted: (nodeId: NodeId, boot: Boot) => void;
  /** This process never counts: its connections are of no use. */
  readonly refused: (nodeId: NodeId, bootId: string, text: string) => void;
  /** This node's own process is made to wait by another member. */
  readonly waits: (by: NodeId) => void;
  readonly log: (line: string) => void;
}

/** How often an earlier process that still answers is asked again, in ms. */
const askEarlierEveryMs = 250;
/** Strangers may say any node id: of those who are gone no more than so many are kept. */
const nodesMax = 256;

/** A process that wants to count. The phases come in this order. */
interface Judgement {
  readonly start: ProcessStart;
  /** The process that counted before, and does again if this one is refused. */
  readonly earlier: ProcessStart | undefined;
  phase: "earlier" | "folder" | "sync" | "members";
  /** When what is waited for was asked for. */
  askedAtMs: number;
  /** Boots that are remembered, and that the folder has yet to say it holds. */
  readonly toProve: Map<string, Boot>;
  /** Members that have yet to say what they remember. */
  readonly asked: Set<NodeId>;
  /** The earlier process has answered since it was asked last. */
  hasEarlierAnswered: boolean;
  isToldToWait: boolean;
}

interface Applicants {
  /** The process that counts. */
  admitted: ProcessStart | undefined;
  judged: Judgement | undefined;
  /** Yet another process, which is judged when the one before is. */
  next: ProcessStart | undefined;
  refused: { readonly bootId: string; readonly text: string } | undefined;
  /** Boots that a member remembered after the process was admitted. */
  readonly lateProofs: Map<string, Boot>;
}

/**
 * Which process of each other node counts: whose votes, acknowledgements and confirmations are those of the node. One
 * folder that only moves forward makes a node; a copy of it, or one that was set back in time, has forgotten what the node
 * has promised. The rules are in boot-rules.ts, the steps and why they are enough in DESIGN.md.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #nodes = new Map<NodeId, Applicants>();
  #isScheduled = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Whether this is the process of the node that counts. */
  counts(nodeId: NodeId, bootId: string): boolean {
    return this.#nodes.get(nodeId)?.admitted?.boot.id === bootId;
  }

  admittedBoot(nodeId: NodeId): Boot | undefined {
    return this.#nodes.get(nodeId)?.admitted?.boot;
  }

  /** Why this process was refused, or undefined. */
  refusalOf(nodeId: NodeId, bootId: string): string | undefined {
    const refused = this.#nodes.get(nodeId)?.refused;
    return refused?.bootId === bootId ? refused.text : undefined;
  }

  /** Whether the last process of the node that was heard of is refused. */
  isRefused(nodeId: NodeId): boolean {
    return this.#nodes.get(nodeId)?.refused !== undefined;
  }

  /** A connection with a process of the node was made, by either side. */
  met(nodeId: NodeId, start: ProcessStart): void {
    const node = this.#applicants(nodeId);
    const { id } = start.boot;
    if (node.admitted?.boot.id === id || node.refused?.bootId === id) return;
    // What it was asked may have been lost with an earlier connection.
    if (node.judged?.start.boot.id === id) node.judged.askedAtMs = Number.NEGATIVE_INFINITY;
    else node.next = start;
    this.#schedule();
  }

  /** What the memory of this node is, and what the replicated state remembers. */
  remembered(nodeId: NodeId): Remembered {
    const known = this.#options.memory.of(nodeId);
    return {
      admitted: known?.boot,
      replicated: this.#options.replicated(nodeId),
      term: known?.term ?? 0,
      index: known?.index ?? 0,
    };
  }

  heard(from: NodeId, bootId: string, message: BootMessage): void {
    const { boots, send, waits } = this.#options;
    switch (message.kind) {
      case "ask-folder":
        send(from, bootId, {
          kind: "folder-answer",
          answers: message.boots.map((boot) => ({ boot, isHeld: boots.holds(boot) })),
        });
        return;
      case "ask-member": {
        const remembered = this.remembered(message.nodeId);
        send(from, bootId, { kind: "member-answer", nodeId: message.nodeId, remembered });
        return;
      }
      case "folder-answer":
        for (const { boot, isHeld } of message.answers) this.#proved(from, bootId, boot, isHeld);
        if (message.answers.length === 0) this.#earlierLives(from, bootId);
        break;
      case "member-answer":
        this.#memberAnswered(from, bootId, message.nodeId, message.remembered);
        break;
      case "waiting":
        waits(from);
        return;
      case "refused":
        // For people: see MemberBoots.
        return;
    }
    this.#schedule();
  }

  /** Goes on with what waits for time, or for a connection to end. Called every few ms. */
  tick(): void {
    for (const [nodeId, node] of [...this.#nodes]) this.#goOn(nodeId, node);
    if (this.#nodes.size <= nodesMax) return;
    for (const [nodeId, { admitted }] of [...this.#nodes]) {
      const isThere = admitted !== undefined && this.#options.isConnected(nodeId, admitted.boot.id);
      if (!isThere && !this.#options.isMember(nodeId)) this.#nodes.delete(nodeId);
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.clock.soon(() => {
      this.#isScheduled = false;
      this.tick();
    });
  }

  #applicants(nodeId: NodeId): Applicants {
    const found = this.#nodes.get(nodeId);
    if (found !== undefined) return found;
    const node = {
      admitted: undefined,
      judged: undefined,
      next: undefined,
      refused: undefined,
      lateProofs: new Map(),
    };
    this.#nodes.set(nodeId, node);
    return node;
  }

  #goOn(nodeId: NodeId, node: Applicants): void {
    const { isConnected } = this.#options;
    if (node.next !== undefined) {
      const isOpen = node.judged !== undefined && isConnected(nodeId, node.judged.start.boot.id);
      if (!isOpen) this.#begin(nodeId, node, node.next);
    }
    const { judged } = node;
    if (judged === undefined) return;
    if (judged.phase === "earlier") this.#awaitEarlier(nodeId, node, judged);
    else if (judged.phase === "folder") this.#awaitFolder(nodeId, judged);
    else if (judged.phase === "members") this.#awaitMembers(nodeId, judged);
  }

  #begin(nodeId: NodeId, node: Applicants, start: ProcessStart): void {
    node.next = undefined;
    node.judged = {
      start,
      earlier: node.admitted,
      phase: "earlier",
      askedAtMs: Number.NEGATIVE_INFINITY,
      toProve: new Map(),
      asked: new Set(),
      hasEarlierAnswered: true,
      isToldToWait: false,
    };
    if (node.admitted === undefined) this.#askFolder(nodeId, node, node.judged);
  }

  /** While an earlier process answers, the new one waits: it may be handing over, or they are two copies. */
  #awaitEarlier(nodeId: NodeId, node: Applicants, judged: Judgement): void {
    const { clock, send, isConnected, silenceMs } = this.#options;
    const earlier = judged.earlier!.boot.id;
    const waitedMs = clock.monotonicMs() - judged.askedAtMs;
    const isSilent = !judged.hasEarlierAnswered && waitedMs >= silenceMs;
    if (!isConnected(nodeId, earlier) || isSilent) return this.#askFolder(nodeId, node, judged);
    if (!judged.hasEarlierAnswered || waitedMs < askEarlierEveryMs) return;
    if (!send(nodeId, earlier, { kind: "ask-folder", boots: [] })) return;
    judged.hasEarlierAnswered = false;
    judged.askedAtMs = clock.monotonicMs();
  }

  #earlierLives(from: NodeId, bootId: string): void {
    const node = this.#nodes.get(from);
    const judged = node?.judged;
    if (judged?.phase !== "earlier" || node?.admitted?.boot.id !== bootId) return;
    judged.hasEarlierAnswered = true;
    this.#options.send(from, judged.start.boot.id, { kind: "waiting" });
    if (judged.isToldToWait) return;
    judged.isToldToWait = true;
    this.#options.log(
      `Two processes say that they are node ${from}, and both answer: ${nameOf(node.admitted.boot)} counts, and ` +
        `${nameOf(judged.start.boot)} waits until that has ended. If they do not end by themselves, one of their data ` +
        "folders is a copy of the other: stop the one that is not wanted, and never start it again",
    );
  }

  #askFolder(nodeId: NodeId, node: Applicants, judged: Judgement): void {
    judged.phase = "folder";
    judged.askedAtMs = Number.NEGATIVE_INFINITY;
    // Before anything is compared: an acknowledgement that decides something afterwards would not be remembered.
    if (node.admitted !== undefined) this.#options.ended(nodeId);
    node.admitted = undefined;
    if (this.#isGood(nodeId, node, judged.start, this.remembered(nodeId), judged.toProve))
      this.#awaitFolder(nodeId, judged);
  }

  /** Asks, again and again, as long as there is something to prove. */
  #awaitFolder(nodeId: NodeId, judged: Judgement): void {
    if (judged.toProve.size === 0) this.#sync(nodeId, judged);
    else this.#askToProve(nodeId, judged);
  }

  #askToProve(nodeId: NodeId, judged: Judgement): void {
    const { clock, send, silenceMs } = this.#options;
    if (clock.monotonicMs() - judged.askedAtMs < silenceMs) return;
    const boots = [...judged.toProve.values()];
    if (send(nodeId, judged.start.boot.id, { kind: "ask-folder", boots }))
      judged.askedAtMs = clock.monotonicMs();
  }

  #sync(nodeId: NodeId, judged: Judgement): void {
    const { memory, isMember } = this.#options;
    judged.phase = "sync";
    memory.admit(nodeId, judged.start.boot, isMember, () => {
      if (this.#nodes.get(nodeId)?.judged === judged) this.#askMembers(nodeId, judged);
    });
  }

  #askMembers(nodeId: NodeId, judged: Judgement): void {
    judged.phase = "members";
    judged.askedAtMs = this.#options.clock.monotonicMs();
    for (const other of this.#nodes.keys())
      if (other !== nodeId && this.#ask(other, nodeId)) judged.asked.add(other);
    this.#awaitMembers(nodeId, judged);
  }

  /** Asks an admitted member what it remembers; false when it is not there. */
  #ask(member: NodeId, about: NodeId): boolean {
    const boot = this.admittedBoot(member);
    return boot !== undefined && this.#options.send(member, boot.id, { kind: "ask-member", nodeId: about });
  }

  #awaitMembers(nodeId: NodeId, judged: Judgement): void {
    const { clock, isConnected, silenceMs } = this.#options;
    const isOver = clock.monotonicMs() - judged.askedAtMs >= silenceMs;
    for (const other of [...judged.asked])
      if (isOver || !isConnected(other, this.admittedBoot(other)?.id ?? "")) judged.asked.delete(other);
    if (judged.toProve.size > 0) this.#askToProve(nodeId, judged);
    else if (judged.asked.size === 0) this.#admit(nodeId, judged);
  }

  /** The replicated state remembers another boot of the node than before. */
  replicatedChanged(nodeId: NodeId): void {
    const node = this.#nodes.get(nodeId);
    const boot = this.#options.replicated(nodeId);
    // A later start is known to others, and comes here next: the one that counts here has ended.
    if (node?.admitted === undefined || boot === undefined || boot.number > node.admitted.boot.number) return;
    this.#proveLater(nodeId, node, node.admitted, this.remembered(nodeId));
  }

  #proveLater(nodeId: NodeId, node: Applicants, start: ProcessStart, remembered: Remembered): void {
    if (!this.#isGood(nodeId, node, start, remembered, node.lateProofs)) return;
    const boots = [...node.lateProofs.values()];
    if (boots.length > 0) this.#options.send(nodeId, start.boot.id, { kind: "ask-folder", boots });
  }

  #admit(nodeId: NodeId, { start }: Judgement): void {
    const node = this.#applicants(nodeId);
    node.admitted = start;
    node.judged = undefined;
    node.refused = undefined;
    node.lateProofs.clear();
    this.#options.admitted(nodeId, start.boot);
    // It was not asked about those who were admitted before it.
    for (const [other, { admitted, judged }] of this.#nodes) {
      if (other === nodeId || (admitted === undefined && judged?.phase !== "members")) continue;
      if (this.#ask(nodeId, other) && judged?.phase === "members") judged.asked.add(nodeId);
    }
  }

  #memberAnswered(from: NodeId, bootId: string, about: NodeId, remembered: Remembered): void {
    const node = this.#nodes.get(about);
    // What somebody says who does not count himself may come from another past.
    if (node === undefined || !this.counts(from, bootId)) return;
    const { judged, admitted } = node;
    if (judged?.phase === "members") {
      judged.asked.delete(from);
      const before = judged.toProve.size;
      if (!this.#isGood(about, node, judged.start, remembered, judged.toProve)) return;
      if (judged.toProve.size > before) judged.askedAtMs = Number.NEGATIVE_INFINITY;
    } else if (admitted !== undefined) this.#proveLater(about, node, admitted, remembered);
  }

  /** Refuses the process if the numbers say so; what they leave open is to be proved. */
  #isGood(
    nodeId: NodeId,
    node: Applicants,
    start: ProcessStart,
    remembered: Remembered,
    toProve: Map<string, Boot>,
  ): boolean {
    const problem = problemOfStart(start, remembered);
    if (problem !== undefined) {
      this.#refuse(nodeId, node, start, problem);
      return false;
    }
    for (const boot of bootsToProve(start, remembered)) toProve.set(boot.id, boot);
    return true;
  }

  #proved(from: NodeId, bootId: string, boot: Boot, isHeld: boolean): void {
    const node = this.#nodes.get(from);
    for (const [start, toProve] of [
      [node?.judged?.start, node?.judged?.toProve],
      [node?.admitted, node?.lateProofs],
    ] as const) {
      if (node === undefined || start?.boot.id !== bootId || toProve?.has(boot.id) !== true) continue;
      if (isHeld) toProve.delete(boot.id);
      else this.#refuse(from, node, start, { kind: "boot", boot });
    }
  }

  #refuse(nodeId: NodeId, node: Applicants, { boot }: ProcessStart, problem: BootProblem): void {
    const text = textOf(nodeId, boot, problem);
    if (node.admitted?.boot.id === boot.id) {
      this.#options.ended(nodeId);
      node.admitted = undefined;
    }
    if (node.judged?.start.boot.id === boot.id) {
      node.admitted ??= node.judged.earlier;
      node.judged = undefined;
    }
    node.refused = { bootId: boot.id, text };
    this.#options.refused(nodeId, boot.id, text);
  }
}

function nameOf({ number, id }: Boot): string {
  return `its start ${number} (${id})`;
}

function textOf(nodeId: NodeId, boot: Boot, problem: BootProblem): string {
  const what =
    problem.kind === "boot"
      ? `does not know ${nameOf(problem.boot)}, which this cluster has seen`
      : problem.kind === "term"
        ? `was at term ${problem.found} when it was started, and node ${nodeId} has acted in term ` +
          `${problem.remembered} before`
        : `had the log up to entry ${problem.found} when it was started, and node ${nodeId} has acknowledged it up ` +
          `to ${problem.remembered} before`;
  return (
    `The data folder of node ${nodeId}, ${nameOf(boot)}, ${what}: it is a copy of the node's folder, or was set back ` +
    "to an earlier state, and has lost what the node promised"
  );
}
