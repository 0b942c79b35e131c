import type { Clock, Timer } from "../env/clock.ts";
import type { Connection } from "./connection.ts";
import { guestLookEveryMs, guestSilentLooks } from "./limits.ts";
import { Silence } from "./silence.ts";

/**
 * Looks at accepted connections that have said hello. An idle one is asked for a sign of life and gives it, however long it
 * is idle. One that gives none for a minute is gone, and its system cannot say so.
 */
export class GuestWatch<Context> {
  readonly #clock: Clock;
  readonly #silences = new Map<Connection<Context>, Silence>();
  #look: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(connection: Connection<Context>): void {
    this.#silences.set(connection, new Silence(this.#clock, guestLookEveryMs));
    this.#lookLater();
  }

  /** Nothing happens to one that was not added. */
  remove(connection: Connection<Context>): void {
    this.#silences.delete(connection);
    if (this.#silences.size === 0) this.stop();
  }

  stop(): void {
    this.#look?.cancel();
    this.#look = undefined;
  }

  #lookLater(): void {
    if (this.#look !== undefined || this.#silences.size === 0) return;
    this.#look = this.#clock.after(guestLookEveryMs, () => {
      this.#look = undefined;
      for (const [connection, silence] of [...this.#silences]) lookAt(connection, silence);
      this.#lookLater();
    });
  }
}

function lookAt<Context>(connection: Connection<Context>, silence: Silence): void {
  if (!connection.isOpen) return;
  const looks = silence.look(connection.takeHeard());
  const text = `nothing came from it for ${(looks * guestLookEveryMs) / 1000} s, although it was asked for a sign`;
  if (looks >= guestSilentLooks) connection.terminate({ cause: "lost", text });
  else if (looks > 0) connection.ping();
}
