/** Polls until `read` yields something. Fails with `what` and what was seen last when it takes too long. */
export async function until<Value>(
  what: string,
  read: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeoutMs = 20_000,
  seen: () => unknown = () => "",
): Promise<Value> {
  const start = performance.now();
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (performance.now() - start > timeoutMs)
      throw new Error(`After ${timeoutMs} ms still not: ${what} ${String(seen())}`);
    await Bun.sleep(20);
  }
}
