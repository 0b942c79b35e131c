/**
 * Counts the bytes of every `new Uint8Array(length)`, `new Uint32Array(length)` and `new Array(length)` while `run` works, also of those that are
 * garbage at once. The heap's own figures would not do: they move when the collector runs, long after the allocation.
 */
export function allocatedBytesOf(run: () => void): number {
  const { Uint8Array: realBytes, Uint32Array: realWords, Array: realArray } = globalThis;
  counted = 0;
  globalThis.Uint8Array = countingBytes;
  globalThis.Uint32Array = countingWords;
  globalThis.Array = countingArray;
  try {
    run();
  } finally {
    globalThis.Uint8Array = realBytes;
    globalThis.Uint32Array = realWords;
    globalThis.Array = realArray;
  }
  return counted;
}

let counted = 0;

const countingBytes = counting(globalThis.Uint8Array, 1);
const countingWords = counting(globalThis.Uint32Array, 4);
const countingArray = counting(globalThis.Array, 8);

/** `Array(length)` without `new` is the same, and the transpiler prefers it. */
function counting<Made extends Uint8ArrayConstructor | Uint32ArrayConstructor | ArrayConstructor>(
  made: Made,
  elementBytes: number,
): Made {
  const construct = (target: Made, given: unknown[]): object => {
    const [length] = given;
    if (typeof length === "number") counted += length * elementBytes;
    return Reflect.construct(target, given);
  };
  return new Proxy(made, { construct, apply: (target, _, given) => construct(target, given) });
}
