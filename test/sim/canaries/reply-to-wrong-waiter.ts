import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Who waits for an entry that another leader has overwritten gets the answer of its successor.",
  edits: [
    {
      file: "src/server/client-requests.ts",
      from: `      else if (waiter.term === id.term) this.#answerResult(waiter.reply, result);
      else this.#replies.unknown(waiter.reply, "Another leader's entry took its place in the log");`,
      to: "      else this.#answerResult(waiter.reply, result);",
    },
    {
      file: "src/server/client-requests.ts",
      from: `    for (const chain of this.#waiters.takeAll())
`,
      to: `    for (const chain of [] as Waiter<ReplyTo>[])
`,
    },
  ],
  runsMax: 300,
};
