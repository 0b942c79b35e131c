import { assert } from "../../src/lib/assert.ts";
import { describeEntry, describeMessage, describeState } from "../../src/raft/describe.ts";
import type { Message, NodeId } from "../../src/raft/types.ts";
import { Cluster, entriesOf, logOf, type Tuning } from "./cluster.ts";
import { describeConfiguration } from "./configuration-text.ts";

/**
 * A conversation with a cluster as text. A file is a list of stanzas, with an empty line after each:
 *
 *     # Comments, before or between commands.
 *     command argument key=value
 *     ----
 *     what the commands print, or ok when they print nothing
 *
 * Commands are the methods of `Script` that are listed in `commands`.
 */
export function runScript(text: string): string {
  const script = new Script();
  return `${text
    .trim()
    .split(/\n\n+/)
    .map((stanza) => runStanza(script, stanza))
    .join("\n\n")}\n`;
}

function runStanza(script: Script, stanza: string): string {
  const lines = stanza.split("\n");
  const end = lines.indexOf("----");
  const input = end < 0 ? lines : lines.slice(0, end);
  const commands = input.filter((line) => !line.startsWith("#"));
  if (commands.length === 0) return input.join("\n");
  const output = commands.flatMap((line) => script.run(line));
  return [...input, "----", ...(output.length > 0 ? output : ["ok"])].join("\n");
}

/** The words of a command, apart from `key=value` pairs. */
interface Command {
  readonly words: readonly string[];
  readonly values: ReadonlyMap<string, string>;
}

class Script {
  #cluster: Cluster | undefined;
  #lines: string[] = [];
  #slow: NodeId[] = [];
  /** Nodes whose stores take nothing of what is committed. */
  #hanging: readonly string[] = [];
  /** What `deliver copy` kept. */
  readonly #copies: Message[] = [];
  #isQuiet = false;
  #leadersOnly = false;

  /** Runs one command line and returns what it printed. */
  run(line: string): string[] {
    this.#lines = [];
    const parts = line.split(" ");
    const isPair = (part: string) => /^[a-zA-Z]+=/.test(part);
    const words = parts.filter((part) => !isPair(part));
    const values = new Map(parts.filter(isPair).map((part) => part.split("=") as [string, string]));
    const command = commands.get(words[0]!);
    assert(command !== undefined, `a script knows the command "${words[0]}"`);
    try {
      command(this, { words: words.slice(1), values });
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "KvraftError") throw error;
      this.print(`stops: ${error.message}`);
    }
    return this.#lines;
  }

  get cluster(): Cluster {
    assert(this.#cluster !== undefined, "a script begins with the command nodes");
    return this.#cluster;
  }

  print(line: string): void {
    this.#lines.push(line);
  }

  /** `nodes 3 n1:1,1,4 windowBytesMax=100`: a cluster; a node's log as the terms of its entries. */
  nodes({ words, values }: Command): void {
    const tuning = Object.fromEntries([...values].map(([key, value]) => [key, Number(value)]));
    const logs = new Map<NodeId, { entries: ReturnType<typeof logOf> }>();
    for (const word of words.slice(1)) {
      const [id, terms] = word.split(":") as [string, string];
      logs.set(id as NodeId, { entries: logOf(...terms.split(",").map(Number)) });
    }
    this.#cluster = new Cluster(
      Number(words[0]),
      { tuning: tuning as Tuning, mayRefuse: true, onEvent: (line) => !this.#isQuiet && this.#note(line()) },
      logs,
    );
  }

  #note(line: string): void {
    if (!this.#leadersOnly || line.includes("→")) this.print(line);
  }

  /** `tick n1 5`. */
  tick(id: NodeId, count: number): void {
    for (let done = 0; done < count; done++) {
      const isHeldUp = this.#hanging.includes(id);
      this.cluster.run(id, (raft) => raft.reportStore(isHeldUp));
      this.cluster.tick(id);
    }
  }

  /** `hang-store n1`: from now on the stores of these nodes, and of no others, hold applying up at each tick. */
  hangStore(ids: readonly string[]): void {
    this.#hanging = ids;
  }

  /** Lets a node's election timeout pass. */
  campaign(id: NodeId): void {
    const { role, term } = this.cluster.raft(id).getState();
    for (let ticks = 0; ticks < 100; ticks++) {
      this.tick(id, 1);
      const now = this.cluster.raft(id).getState();
      if (now.role !== role || now.term !== term) return;
    }
  }

  propose(id: NodeId, text: string): void {
    const result = this.cluster.propose(id, text);
    if (result.ok) this.print(`${id} proposes ${result.index}/${result.term}`);
    else this.print(`${id} refuses: ${result.reason}, leader ${result.leader ?? "-"}`);
  }

  /** `deliver from=n1 to=n2 kind=heartbeat count=1`: what matches, oldest first; `drop` loses it, `copy` keeps one. */
  deliver({ words, values }: Command): void {
    const { network } = this.cluster;
    const matching = network.filter(
      (message) =>
        message.from === (values.get("from") ?? message.from) &&
        message.to === (values.get("to") ?? message.to) &&
        message.kind === (values.get("kind") ?? message.kind),
    );
    if (words.includes("last")) matching.reverse();
    for (const message of matching.slice(0, Number(values.get("count") ?? matching.length)))
      this.#hand(message, words[0]);
  }

  #hand(message: Message, how: string | undefined): void {
    const { cluster } = this;
    if (how === "drop") {
      this.print(`lost: ${describeMessage(message)}`);
      cluster.network.splice(cluster.network.indexOf(message), 1);
      return;
    }
    this.print(describeMessage(message));
    if (!cluster.deliver(message)) this.print("  it does not arrive");
    if (how === "copy") this.#copies.push(message);
  }

  /** The copies arrive: late, and for the second time. */
  replay(): void {
    for (const message of this.#copies.splice(0)) this.#hand(message, undefined);
  }

  /**
   * Delivers everything and finishes every write, but those of slow nodes, until nothing is under way. Prints all of
   * it; with `quiet` nothing, with `roles` only changes of role, and messages of one kind with `show=kind`.
   */
  stabilize({ words, values }: Command): void {
    const { cluster } = this;
    this.#isQuiet = words[0] === "quiet";
    this.#leadersOnly = words[0] === "roles";
    const isShown = words.length === 0 && !values.has("show");
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      for (const message of [...cluster.network]) {
        if (values.get("show") === message.kind) this.print(describeMessage(message));
        if (isShown) this.#hand(message, undefined);
        else cluster.deliver(message);
        isBusy = true;
      }
      for (const id of cluster.ids) if (!this.#slow.includes(id) && cluster.finishWrite(id)) isBusy = true;
    }
    this.#isQuiet = false;
    this.#leadersOnly = false;
  }

  /** `change n1 n1,n2/n1,n2,n3/n4`: incoming, outgoing and learners. */
  change(id: NodeId, text: string): void {
    const result = this.cluster.change(id, text);
    if (result.ok) this.print(`${id} proposes ${result.index}/${result.term}`);
    else this.print(`${id} refuses: ${result.reason}, ${result.text}`);
  }

  /** `configuration n1 n2`: what is in force there. */
  configuration(ids: readonly string[]): void {
    for (const id of ids.length > 0 ? (ids as NodeId[]) : this.cluster.ids)
      this.print(`${id}: ${describeConfiguration(this.cluster.raft(id).configuration)}`);
  }

  transfer(id: NodeId, to: NodeId | undefined): void {
    if (!this.cluster.run(id, (raft) => raft.transferLeadership(to))) this.print(`${id} refuses`);
  }

  /** `fetch n3 n1`: n3 gets n1's state. It is on the disk after `swap n3`, and the core is told by `restore n3`. */
  fetch(id: NodeId, source: NodeId): void {
    if (!this.cluster.fetch(id, source)) this.print(`${id} needs nothing of ${source}`);
  }

  swap(id: NodeId): void {
    if (!this.cluster.swap(id)) this.print(`${id} has this state already`);
  }

  network(): void {
    for (const message of this.cluster.network) this.print(describeMessage(message));
  }

  slow(ids: readonly string[]): void {
    this.#slow = ids as NodeId[];
  }

  readIndex(id: NodeId, context: number): void {
    if (!this.cluster.readIndex(id, context)) this.print(`${id} refuses read ${context}`);
  }

  status(ids: readonly string[]): void {
    for (const node of this.cluster.nodes.values()) {
      if (ids.length > 0 && !ids.includes(node.id)) continue;
      this.print(node.raft === undefined ? `${node.id} is down` : describeState(node.raft.getState()));
    }
  }

  progress(id: NodeId): void {
    for (const [peer, { state, match, next, isPaused, inFlightCount }] of this.cluster.raft(id).progress) {
      const flight = inFlightCount > 0 ? ` in flight ${inFlightCount}` : "";
      this.print(`${peer} ${state} match ${match} next ${next}${isPaused ? " paused" : ""}${flight}`);
    }
  }

  log(ids: readonly string[]): void {
    for (const id of ids.length > 0 ? (ids as NodeId[]) : this.cluster.ids) {
      const entries = entriesOf(this.cluster.raft(id));
      this.print(`${id}: ${entries.map((entry) => describeEntry(entry)).join(", ")}`);
    }
  }
}

const commands = new Map<string, (script: Script, command: Command) => void>([
  ["nodes", (script, command) => script.nodes(command)],
  ["tick", (script, { words }) => script.tick(words[0] as NodeId, Number(words[1] ?? 1))],
  ["campaign", (script, { words }) => script.campaign(words[0] as NodeId)],
  ["propose", (script, { words }) => script.propose(words[0] as NodeId, words[1]!)],
  ["deliver", (script, command) => script.deliver(command)],
  ["replay", (script) => script.replay()],
  ["write-done", (script, { words }) => void script.cluster.finishWrite(words[0] as NodeId)],
  ["slow", (script, { words }) => script.slow(words)],
  ["hang-store", (script, { words }) => script.hangStore(words)],
  ["stabilize", (script, command) => script.stabilize(command)],
  ["network", (script) => script.network()],
  [
    "crash",
    (script, { words }) => script.cluster.crash(words[0] as NodeId, words[1] as "lost" | "kept" | undefined),
  ],
  [
    "restart",
    (script, { words }) =>
      script.cluster.restart(words[0] as NodeId, words[1] ? Number(words[1]) : undefined),
  ],
  [
    "lose-log-after",
    (script, { words }) => script.cluster.node(words[0] as NodeId).disk.loseAfter(Number(words[1])),
  ],
  [
    "drop-log",
    (script, { words }) => script.cluster.node(words[0] as NodeId).disk.dropUpTo(Number(words[1])),
  ],
  [
    "partition",
    (script, { words }) => script.cluster.partition(words.map((group) => group.split(",") as NodeId[])),
  ],
  ["cut", (script, { words }) => script.cluster.cut(words[0] as NodeId, words[1] as NodeId)],
  ["heal", (script) => script.cluster.heal()],
  ["join", (script, { words }) => script.cluster.join(words[0] as NodeId)],
  ["change", (script, { words }) => script.change(words[0] as NodeId, words[1]!)],
  ["configuration", (script, { words }) => script.configuration(words)],
  ["transfer", (script, { words }) => script.transfer(words[0] as NodeId, words[1] as NodeId | undefined)],
  [
    "gone",
    (script, { words }) =>
      script.cluster.run(words[0] as NodeId, (raft) => raft.reportGone(words[1] as NodeId)),
  ],
  ["fetch", (script, { words }) => script.fetch(words[0] as NodeId, words[1] as NodeId)],
  ["swap", (script, { words }) => script.swap(words[0] as NodeId)],
  ["restore", (script, { words }) => script.cluster.restore(words[0] as NodeId)],
  ["read-index", (script, { words }) => script.readIndex(words[0] as NodeId, Number(words[1]))],
  [
    "overslept",
    (script, { words }) => script.cluster.run(words[0] as NodeId, (raft) => raft.overslept(Number(words[1]))),
  ],
  [
    "unreachable",
    (script, { words }) =>
      script.cluster.run(words[0] as NodeId, (raft) => raft.reportUnreachable(words[1] as NodeId)),
  ],
  ["status", (script, { words }) => script.status(words)],
  ["progress", (script, { words }) => script.progress(words[0] as NodeId)],
  ["log", (script, { words }) => script.log(words)],
]);
