import { assert } from "../../src/lib/assert.ts";
import type { Operation } from "./operation.ts";

const pattern = /^(\w+) (\d+)-(\d+) (?:(\w+)\.)?(put|get|delete)(?: (\w+|-))?([?!]?)$/;

/**
 * A history of a few operations as text, separated by semicolons: `a 0-2 put 1` is client a, who put 1 from
 * time 0 to 2; `get 1` found 1 and `get -` no key; `delete yes` found the key, `delete no` did not, `delete`
 * was not told. A `?` at the end: outcome unknown; a `!`: failed. The key is x, or what stands before a dot:
 * `y.put 1`.
 */
export function historyOf(text: string): Operation[] {
  return text.split(";").map((part) => {
    const match = pattern.exec(part.trim());
    assert(match !== null, `"${part}" is one operation of a history`);
    const [, client, start, end, key, operation, answer, mark] = match;
    const outcome = mark === "?" ? "unknown" : mark === "!" ? "failed" : "ok";
    const isDelete = operation === "delete";
    return {
      client: client!,
      operation: operation as Operation["operation"],
      key: key ?? "x",
      value: isDelete || answer === "-" ? undefined : answer,
      existed: isDelete && answer !== undefined ? answer === "yes" : undefined,
      start: Number(start),
      end: Number(end),
      outcome,
    };
  });
}
