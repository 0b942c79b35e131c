/**
 * What a client knows of its operation: done; perhaps done, now, later or never; certainly not done, not
 * ever.
 */
export type Outcome = "ok" | "unknown" | "failed";

/** One operation as its client saw it: what it asked, when, and what it was told. */
export interface Operation {
  /** A client may pipeline: two operations of one client may overlap. */
  readonly client: string;
  readonly operation: "put" | "get" | "delete";
  readonly key: string;
  /** put: what was put; get: what was found, undefined when the key was missing. */
  readonly value?: string | undefined;
  /** delete: whether the key existed; undefined when the client was not told. */
  readonly existed?: boolean | undefined;
  /** Any clock that is common to all clients: a count of events, or milliseconds. */
  readonly start: number;
  /** After `start`, and finite: an unknown outcome has the moment when the client gave up. */
  readonly end: number;
  readonly outcome: Outcome;
}

const kinds: readonly string[] = ["put", "get", "delete"] satisfies Operation["operation"][];
const outcomes: readonly string[] = ["ok", "unknown", "failed"] satisfies Outcome[];
const members = new Set(["client", "operation", "key", "value", "existed", "start", "end", "outcome"]);

/**
 * One operation as one line of JSON, without the line end. A file of such lines is a history, in any order;
 * checkers other than this project's, Knossos or Porcupine for example, need nothing else. The grammar, in
 * which `string` and `number` are those of JSON, and members may come in any order:
 *
 *     history   = { operation "\n" }
 *     operation = "{" client "," what "," key [ "," value ] [ "," existed ] "," start "," end "," outcome "}"
 *     client    = '"client":' string
 *     what      = '"operation":' ( '"put"' | '"get"' | '"delete"' )
 *     key       = '"key":' string
 *     value     = '"value":' ( string | "null" )
 *                 of a put: always, a string; of a get that is ok: always, null when the key was missing;
 *                 of anything else: never
 *     existed   = '"existed":' ( "true" | "false" )
 *                 of a delete that is ok, where the client was told; of anything else: never
 *     start     = '"start":' number        one clock for all clients
 *     end       = '"end":' number          greater than start; unknown: when the client gave up
 *     outcome   = '"outcome":' ( '"ok"' | '"unknown"' | '"failed"' )
 *
 * `ok` took effect at one moment from start to end, both included. `unknown` took effect at one moment from
 * start on, perhaps long after end, or never. `failed` never did. Text is UTF-16 as in JSON: what is not
 * valid Unicode, half of a surrogate pair, is written as its escape.
 *
 * Two clients and the key x, which is missing at first. The put of b is never answered, and b is seen, so it
 * was done:
 *
 *     {"client":"1","operation":"put","key":"x","value":"a","start":0,"end":4,"outcome":"ok"}
 *     {"client":"2","operation":"get","key":"x","value":null,"start":1,"end":3,"outcome":"ok"}
 *     {"client":"1","operation":"put","key":"x","value":"b","start":5,"end":9,"outcome":"unknown"}
 *     {"client":"2","operation":"get","key":"x","value":"b","start":10,"end":12,"outcome":"ok"}
 *     {"client":"2","operation":"delete","key":"x","existed":true,"start":13,"end":15,"outcome":"ok"}
 */
export function toJsonLine(operation: Operation): string {
  const { client, operation: what, key, value, existed, start, end, outcome } = operation;
  const found = what === "get" && outcome === "ok" ? (value ?? null) : undefined;
  return JSON.stringify({
    client,
    operation: what,
    key,
    value: what === "put" ? value : found,
    existed: what === "delete" && outcome === "ok" ? existed : undefined,
    start,
    end,
    outcome,
  });
}

/**
 * The operation of a line that `toJsonLine` describes; throws an error that names the member that is wrong.
 */
export function fromJsonLine(text: string): Operation {
  const line = parseObject(text);
  for (const name of Object.keys(line))
    if (!members.has(name)) throw wrong(name, line[name], `one of ${[...members].join(", ")}`);
  const operation: Operation = {
    client: stringAt(line, "client"),
    operation: oneOf(line, "operation", kinds) as Operation["operation"],
    key: stringAt(line, "key"),
    start: numberAt(line, "start"),
    end: numberAt(line, "end"),
    outcome: oneOf(line, "outcome", outcomes) as Outcome,
  };
  if (operation.end <= operation.start)
    throw wrong("end", operation.end, `a number greater than start, ${operation.start}`);
  return { ...operation, ...valueAt(line, operation), ...existedAt(line, operation) };
}

function valueAt(line: JsonObject, { operation, outcome }: Operation): Pick<Operation, "value"> {
  const { value } = line;
  if (operation === "put") return { value: stringAt(line, "value") };
  if (operation === "get" && outcome === "ok") {
    if (value === null) return { value: undefined };
    if (typeof value !== "string")
      throw wrong("value", value, "a string, or null for a key that was missing");
    return { value };
  }
  if (value !== undefined) throw wrong("value", value, `none, for a ${operation} that is ${outcome}`);
  return {};
}

function existedAt(line: JsonObject, { operation, outcome }: Operation): Pick<Operation, "existed"> {
  const { existed } = line;
  if (existed === undefined) return {};
  if (operation !== "delete" || outcome !== "ok")
    throw wrong("existed", existed, `none, for a ${operation} that is ${outcome}`);
  if (typeof existed !== "boolean") throw wrong("existed", existed, "true or false");
  return { existed };
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(text: string): JsonObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error(`Cannot read an operation: found ${brief(text)}, wanted one line of JSON`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new Error(`Cannot read an operation: found ${brief(text)}, wanted a JSON object`);
  return Object.fromEntries(Object.entries(parsed));
}

function stringAt(line: JsonObject, name: string): string {
  const found = line[name];
  if (typeof found !== "string") throw wrong(name, found, "a string");
  return found;
}

function numberAt(line: JsonObject, name: string): number {
  const found = line[name];
  if (typeof found !== "number" || !Number.isFinite(found)) throw wrong(name, found, "a finite number");
  return found;
}

function oneOf(line: JsonObject, name: string, names: readonly string[]): string {
  const found = stringAt(line, name);
  if (!names.includes(found)) throw wrong(name, found, `one of ${names.join(", ")}`);
  return found;
}

function wrong(name: string, found: unknown, wanted: string): Error {
  const what = found === undefined ? "nothing" : brief(JSON.stringify(found));
  return new Error(`Cannot read an operation: "${name}" is ${what}, wanted ${wanted}`);
}

function brief(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}
