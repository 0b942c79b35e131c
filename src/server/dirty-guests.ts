import type { Connection } from "../rpc/connection.ts";
import type { Guest } from "./guest.ts";

/** Connections with frames that leave together at the end of the turn. */
export class DirtyGuests {
  readonly #connections: Connection<Guest>[] = [];
  readonly #schedule: () => void;

  constructor(schedule: () => void) {
    this.#schedule = schedule;
  }

  mark(connection: Connection<Guest>): void {
    const guest = connection.context!;
    if (guest.isDirty) return;
    guest.isDirty = true;
    this.#connections.push(connection);
    this.#schedule();
  }

  flush(): void {
    for (const connection of this.#connections) {
      connection.context!.isDirty = false;
      connection.flush();
    }
    this.#connections.length = 0;
  }
}
