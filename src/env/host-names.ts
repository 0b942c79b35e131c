import type { Clock, Timer } from "./clock.ts";
import { askResolver, type Question } from "./resolver.ts";

/** Lookups that may be under way at one time; a further one fails at once. Each holds a few KiB and a socket for a while. */
export const lookupsMax = 32;
/** An answer is used for so long, in ms, without asking again. */
export const freshMs = 5_000;
/** A name that was looked up before has an older answer; it is used when a new one does not come in this time (ms). */
export const staleAfterMs = 100;

/** It needs no resolver, whatever state that is in (RFC 6761). */
const loopback = ["127.0.0.1", "::1"];

/** The addresses of a name, never none; or why there are none: a code such as ENOTFOUND. */
export type LookupOutcome =
  | { readonly ok: true; readonly addresses: readonly string[] }
  | { readonly ok: false; readonly code: string };

type Told = (outcome: LookupOutcome) => void;

interface Name {
  /** The last answer; none yet when empty. */
  addresses: readonly string[];
  answeredAtMs: number;
  question: Question | undefined;
  readonly waiting: Set<Told>;
}

/**
 * Looks up the addresses of host names, and remembers them. A lookup that hangs holds up nobody: each name is asked for
 * once at a time, and an older answer is used while a new one does not come.
 */
export class HostNames {
  readonly #clock: Clock;
  readonly #ask: (host: string) => Question;
  /** As many as there are names in configurations and lists of members. */
  readonly #names = new Map<string, Name>();
  #lookupCount = 0;

  constructor(clock: Clock, ask: (host: string) => Question = askResolver) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** Calls `told` once, now or later, or never when no answer comes at all; not after `cancel`. */
  lookUp(host: string, told: Told): { cancel(): void } {
    if (host.toLowerCase() === "localhost") {
      told({ ok: true, addresses: loopback });
      return { cancel: () => {} };
    }
    const name = this.#nameOf(host.toLowerCase());
    const isKnown = name.addresses.length > 0;
    if (isKnown && this.#clock.monotonicMs() - name.answeredAtMs < freshMs) {
      told({ ok: true, addresses: name.addresses });
      return { cancel: () => {} };
    }
    let timer: Timer | undefined;
    const tell: Told = (outcome) => {
      name.waiting.delete(tell);
      timer?.cancel();
      told(outcome);
    };
    name.waiting.add(tell);
    if (isKnown) timer = this.#clock.after(staleAfterMs, () => tell({ ok: true, addresses: name.addresses }));
    this.#askFor(host, name);
    return {
      cancel: () => {
        name.waiting.delete(tell);
        timer?.cancel();
        // A lookup that nobody waits for must not keep a process alive.
        if (name.waiting.size === 0) this.#giveUp(name);
      },
    };
  }

  #nameOf(host: string): Name {
    const known = this.#names.get(host);
    if (known !== undefined) return known;
    const name: Name = { addresses: [], answeredAtMs: 0, question: undefined, waiting: new Set() };
    this.#names.set(host, name);
    return name;
  }

  #askFor(host: string, name: Name): void {
    if (name.question !== undefined) return;
    if (this.#lookupCount >= lookupsMax) {
      this.#clock.soon(() => this.#failed(name, "ETOOMANYLOOKUPS"));
      return;
    }
    const question = this.#ask(host);
    name.question = question;
    this.#lookupCount++;
    const settle = (run: () => void) =>
      this.#clock.soon(() => {
        if (name.question !== question) return;
        name.question = undefined;
        this.#lookupCount--;
        run();
      });
    question.addresses.then(
      (addresses) => settle(() => this.#answered(name, addresses)),
      (error: unknown) => settle(() => this.#ended(name, codeOf(error))),
    );
  }

  #giveUp(name: Name): void {
    if (name.question === undefined) return;
    const { question } = name;
    name.question = undefined;
    this.#lookupCount--;
    question.cancel();
  }

  #answered(name: Name, addresses: readonly string[]): void {
    if (addresses.length === 0) return this.#ended(name, "ENOTFOUND");
    name.addresses = addresses;
    name.answeredAtMs = this.#clock.monotonicMs();
    for (const tell of [...name.waiting]) tell({ ok: true, addresses });
  }

  #ended(name: Name, code: string): void {
    // The answer that there is no such host is an answer; all other failures say nothing about the host.
    if (code === "ENOTFOUND" || code === "ENODATA") name.addresses = [];
    this.#failed(name, code);
  }

  #failed({ waiting, addresses }: Name, code: string): void {
    const outcome: LookupOutcome = addresses.length > 0 ? { ok: true, addresses } : { ok: false, code };
    for (const tell of [...waiting]) tell(outcome);
  }
}

/** `ENOTFOUND` of `DNS_ENOTFOUND`. */
function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return String(error);
  return String(error.code).replace(/^DNS_/, "");
}
