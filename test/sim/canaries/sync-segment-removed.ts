import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A segment that begins while the node runs is not synced before it gets its name.",
  edits: [
    {
      file: "src/raftlog/log-writer.ts",
      from: `      file.writeDurably(0, bytes, (error) => {
        file.close();
        if (this.#isClosed) return;
        if (error === undefined) this.#publishFor(header, bytes.length, done);
        else done(error, undefined);
      });`,
      to: `      file.write(0, bytes);
      queueMicrotask(() => {
        file.close();
        if (!this.#isClosed) this.#publishFor(header, bytes.length, done);
      });`,
    },
  ],
  runsMax: 200,
};
