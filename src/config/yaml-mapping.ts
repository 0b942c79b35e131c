import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from "yaml";
import { KvraftError } from "../lib/error.ts";
import { suggest } from "./suggest.ts";

/** What is wrong with a file, collected while it is read, so that one run names every problem. */
export class Problems {
  readonly fileName: string;
  readonly #found: { line: number; text: string }[] = [];

  constructor(fileName: string) {
    this.fileName = fileName;
  }

  add(line: number, key: string, found: string, wanted: string): void {
    this.addText(line, `${key === "" ? "" : `${key}: `}found ${found}; wanted ${wanted}`);
  }

  /** Control characters of the file would end the line that a problem is, or move a terminal's cursor. */
  addText(line: number, text: string): void {
    this.#found.push({ line, text: text.replace(/\p{Cc}/gu, "?") });
  }

  /** Throws one KvraftError (CONFIG) with a line per problem, in the order of the file, unless there is none. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const ordered = this.#found.toSorted((a, b) => a.line - b.line);
    throw new KvraftError(
      "CONFIG",
      ordered.map(({ line, text }) => `${this.fileName}:${line}: ${text}`).join("\n"),
    );
  }
}

/** A value in the file, with the place that a message about it names. */
export interface Located {
  /** A string, number, boolean or null of the file; undefined for a mapping or a list. */
  readonly scalar: unknown;
  /** The value as a message shows it. */
  readonly shown: string;
  readonly line: number;
  /** The path from the top of the file: `servers[1].port`. */
  readonly key: string;
  readonly node: Node | null;
}

/** Whatever a YAML file holds, as a mapping; what is no YAML or no mapping is thrown as a KvraftError (CONFIG). */
export function parseMapping(text: string, problems: Problems, wanted: string): Mapping {
  const lines = new LineCounter();
  // Keys are compared by Mapping, which can say where the first one stands.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  for (const error of [...document.errors, ...document.warnings])
    problems.addText(lines.linePos(error.pos[0]).line, `not valid YAML: ${error.message}`);
  problems.throwIfAny();
  const source: Source = { anchored: anchoredNodes(document), lines, problems, merged: new Map() };
  const root = document.contents;
  if (isMap(root)) return new Mapping(source, root, "", 1);
  problems.add(
    root === null ? 1 : lineOf(source, root, 1),
    "",
    root === null ? "an empty file" : show(root),
    wanted,
  );
  problems.throwIfAny();
  return new Mapping(source, undefined, "", 1);
}

/** One mapping of the file: keys with located values. A key that is there without a value counts as absent. */
export class Mapping {
  readonly problems: Problems;
  readonly path: string;
  readonly line: number;
  readonly #source: Source;
  readonly #values = new Map<string, Located>();

  constructor(source: Source, map: YAMLMap | undefined, path: string, line: number) {
    this.problems = source.problems;
    this.path = path;
    this.line = line;
    this.#source = source;
    if (map !== undefined) this.#read(map);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  get(key: string): Located | undefined {
    const located = this.#values.get(key);
    return located?.scalar === null ? undefined : located;
  }

  /** The line of the key, or of the mapping when the key is absent. */
  lineOf(key: string): number {
    return this.#values.get(key)?.line ?? this.line;
  }

  /** Says of every other key that it is unknown. `otherNames` are words that people use for a known key. */
  allowOnly(known: readonly string[], otherNames: Readonly<Record<string, string>> = {}): void {
    for (const [key, { line }] of this.#values) {
      if (known.includes(key)) continue;
      const near = otherNames[key] ?? suggest(key, known);
      const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
      const place = this.path === "" ? "" : `${this.path}: `;
      this.problems.addText(
        line,
        `${place}unknown key ${show(key)}${hint}; wanted one of ${known.join(", ")}`,
      );
    }
  }

  /** The mapping below a key; an empty one when the key is absent, or is something else, which is a problem. */
  mapping(key: string): Mapping {
    const located = this.get(key);
    if (located === undefined)
      return new Mapping(this.#source, undefined, this.pathOf(key), this.lineOf(key));
    return (
      this.asMapping(located, "a mapping") ?? new Mapping(this.#source, undefined, located.key, located.line)
    );
  }

  /** The items of the list below a key; undefined when it is absent or is something else, which is a problem. */
  list(key: string, wanted: string): Located[] | undefined {
    const located = this.get(key);
    if (isSeq(located?.node)) {
      const seq = located.node;
      return seq.items.map((item, index) =>
        locate(this.#source, item as Node | null, `${located.key}[${index}]`, located.line),
      );
    }
    this.problems.add(this.lineOf(key), this.pathOf(key), located?.shown ?? "nothing", wanted);
    return undefined;
  }

  /** A located value as a mapping; undefined when it is something else, which is a problem. */
  asMapping(located: Located, wanted: string): Mapping | undefined {
    if (isMap(located.node)) return new Mapping(this.#source, located.node, located.key, located.line);
    this.problems.add(located.line, located.key, located.shown, wanted);
    return undefined;
  }

  pathOf(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }

  #read(map: YAMLMap): void {
    const merged: (Node | null)[] = [];
    for (const { key: keyNode, value } of map.items) {
      const key = isScalar(keyNode) ? String(keyNode.value) : show(keyNode as Node);
      if (key === "<<") {
        merged.push(value as Node | null);
        continue;
      }
      const line = lineOf(this.#source, keyNode as Node, this.line);
      const located = locate(this.#source, value as Node | null, this.pathOf(key), line);
      const first = this.#values.get(key);
      if (first === undefined) this.#values.set(key, { ...located, line });
      else
        this.problems.add(
          line,
          this.pathOf(key),
          "the key a second time",
          `it once (it stands on line ${first.line})`,
        );
    }
    for (const node of merged) this.#merge(node);
  }

  /** `<<: *anchor`: the anchored keys, beneath those that stand here. */
  #merge(node: Node | null): void {
    const located = locate(this.#source, node, this.pathOf("<<"), lineOf(this.#source, node, this.line));
    const { merged } = this.#source;
    // Each is read once: merges of merges would double the work with every step.
    const mapping =
      merged.get(located.node) ?? this.asMapping(located, "a mapping, such as the alias of one");
    if (mapping === undefined) return;
    merged.set(located.node, mapping);
    for (const [key, value] of mapping.#values)
      if (!this.#values.has(key)) this.#values.set(key, { ...value, key: this.pathOf(key) });
  }
}

interface Source {
  /** The nodes of each anchor, in the order of the file. */
  readonly anchored: ReadonlyMap<string, readonly Node[]>;
  readonly lines: LineCounter;
  readonly problems: Problems;
  /** What was merged into others, by its node. */
  readonly merged: Map<Node | null, Mapping>;
}

/** Found in one walk: to ask the document for each alias alone takes a walk through all of it. */
function anchoredNodes(document: Document): Map<string, Node[]> {
  const anchored = new Map<string, Node[]>();
  visit(document, (_, node) => {
    if (!(isScalar(node) || isMap(node) || isSeq(node)) || node.anchor === undefined) return;
    const nodes = anchored.get(node.anchor) ?? [];
    anchored.set(node.anchor, nodes);
    nodes.push(node);
  });
  return anchored;
}

function locate(source: Source, node: Node | null, key: string, lineOfKey: number): Located {
  const line = lineOf(source, node, lineOfKey);
  const resolved = isAlias(node) ? resolve(source, node) : node;
  const scalar = resolved === null ? null : isScalar(resolved) ? resolved.value : undefined;
  return { scalar, shown: show(resolved), line, key, node: resolved };
}

/**
 * What the alias stands for. One whose anchor is missing, or stands around it (which would have no end), stays an
 * alias, and no reader accepts one.
 */
function resolve(source: Source, alias: Alias): Node {
  const at = alias.range?.[0] ?? 0;
  const node = source.anchored.get(alias.source)?.findLast(({ range }) => (range?.[0] ?? at) < at);
  return node === undefined || at < (node.range?.[1] ?? at) ? alias : node;
}

function lineOf(source: Source, node: Node | null, otherwise: number): number {
  const start = node?.range?.[0];
  return start === undefined ? otherwise : source.lines.linePos(start).line;
}

/** A value as a message shows it: text in quotes, at most a line of it. */
export function show(value: unknown): string {
  if (isMap(value)) return "a mapping";
  if (isSeq(value)) return "a list";
  if (isAlias(value)) return `the alias *${value.source} of no earlier anchor`;
  const plain = isScalar(value) ? value.value : value;
  if (plain === null || plain === undefined) return "nothing";
  if (typeof plain !== "string") return String(plain);
  return JSON.stringify(plain.length > 60 ? `${plain.slice(0, 60)}…` : plain);
}
