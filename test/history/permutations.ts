import type { Operation } from "./operation.ts";

/**
 * The definition of linearizable, word for word and without a thought for time: is there, for some choice of
 * the unknown writes, a permutation of them and all operations that are ok which keeps the order of those
 * that did not overlap, and in which a register answers what was answered? For a handful of operations on one
 * key.
 */
export function isLinearizableByDefinition(history: readonly Operation[]): boolean {
  const done = history.filter(({ outcome }) => outcome === "ok");
  const unknown = history.filter(({ outcome, operation }) => outcome === "unknown" && operation !== "get");
  return subsets(unknown).some((chosen) => {
    return permutations([...done, ...chosen]).some((order) => keepsTime(order) && isAnsweredSo(order));
  });
}

function subsets<T>(items: readonly T[]): T[][] {
  const [first, ...rest] = items;
  if (first === undefined) return [[]];
  return subsets(rest).flatMap((each) => [each, [first, ...each]]);
}

const orders = new Map<number, number[][]>([[0, [[]]]]);

function permutations<T>(items: readonly T[]): T[][] {
  return indexOrders(items.length).map((order) => order.map((at) => items[at]!));
}

/** All orders of the numbers below `count`. */
function indexOrders(count: number): number[][] {
  const known = orders.get(count);
  if (known !== undefined) return known;
  const all = indexOrders(count - 1).flatMap((order) =>
    Array.from({ length: count }, (_, at) => order.toSpliced(at, 0, count - 1)),
  );
  orders.set(count, all);
  return all;
}

function keepsTime(order: readonly Operation[]): boolean {
  return order.every((earlier, at) => order.slice(at + 1).every((later) => endOf(later) >= earlier.start));
}

function endOf({ outcome, end }: Operation): number {
  return outcome === "unknown" ? Infinity : end;
}

function isAnsweredSo(order: readonly Operation[]): boolean {
  let held: string | undefined;
  for (const { operation, value, existed, outcome } of order) {
    if (operation === "get" && value !== held) return false;
    const isTold = operation === "delete" && outcome === "ok" && existed !== undefined;
    if (isTold && existed !== (held !== undefined)) return false;
    if (operation !== "get") held = operation === "put" ? value : undefined;
  }
  return true;
}
